#include "engine/run_cgroup.hpp"

#include "support/environment.hpp"
#include "support/forked.hpp"
#include "support/process.hpp"
#include "sys/cgroup.hpp"
#include "sys/clone.hpp"

#include <array>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <string>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

/// With plain directories and files in place of a cgroup file system; the real one is for the integration tests.
namespace reapctl::engine {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

constexpr char kRunId[] = "00112233445566AA";

class RunCgroupOnDisk : public ::testing::Test {
 protected:
  RunCgroup make() {
    CgroupGround ground{.path = base_.path().string(),
                        .directory = sys::UniqueFd(::open(base_.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC))};
    auto made = RunCgroup::make(std::move(ground), kRunId);
    EXPECT_TRUE(made) << made.error().message();
    return made.take();
  }
  [[nodiscard]] std::string file(const std::string& name) const {
    return base_ / ("reapctl-" + std::string(kRunId) + "/" + name);
  }

  test::TempDir base_;
};

TEST_F(RunCgroupOnDisk, MembersAreThoseOfAllCgroupsBelowWithoutForeignPids) {
  const RunCgroup cgroup = make();
  fs::create_directories(file("a/b"));
  test::write_file(file("cgroup.procs"), "12\n34\n0\n");
  test::write_file(file("a/cgroup.procs"), "");
  test::write_file(file("a/b/cgroup.procs"), "56\n");
  EXPECT_THAT(cgroup.members(), UnorderedElementsAre(12, 34, 56));
}

TEST_F(RunCgroupOnDisk, ALookThatMayHaveMissedSomebodySaysSo) {
  const RunCgroup cgroup = make();
  test::write_file(file("cgroup.procs"), "12\n");
  EXPECT_TRUE(cgroup.look().complete);
  test::write_file(file("cgroup.procs"), "12\n0\n");  // somebody of another PID namespace
  EXPECT_FALSE(cgroup.look().complete);
  test::write_file(file("cgroup.procs"), "12\n");
  for (int i = 0; i < 1200; ++i) fs::create_directory(file(std::to_string(i)));
  EXPECT_FALSE(cgroup.look().complete);
}

TEST_F(RunCgroupOnDisk, IsPopulatedAsItsEventsSay) {
  RunCgroup cgroup = make();
  EXPECT_FALSE(cgroup.is_populated());  // cannot be read: it has gone
  test::write_file(file("cgroup.events"), "populated 1\nfrozen 0\n");
  EXPECT_TRUE(cgroup.is_populated());
  EXPECT_GE(cgroup.watch(), 0);
  EXPECT_TRUE(cgroup.is_populated());
  test::write_file(file("cgroup.events"), "populated 0\nfrozen 1\n");
  EXPECT_FALSE(cgroup.is_populated());
}

TEST_F(RunCgroupOnDisk, FiguresAreThereOrNot) {
  const RunCgroup cgroup = make();
  test::write_file(file("memory.peak"), "123456\n");
  test::write_file(file("cpu.stat"), "usage_usec_x 1\nusage_usec 77\nuser_usec 7\n");
  const core::CgroupReport figures = cgroup.figures();
  EXPECT_EQ(figures.path, cgroup.path());
  EXPECT_EQ(figures.memory_peak_bytes, 123456);
  EXPECT_EQ(figures.cpu_usage_us, 77);
  EXPECT_EQ(figures.oom_kills, std::nullopt);
}

TEST_F(RunCgroupOnDisk, KillsByOneWriteWhereTheKernelCan) {
  const RunCgroup cgroup = make();
  test::write_file(file("cgroup.kill"), "-");
  test::write_file(file("cgroup.freeze"), "-");
  cgroup.kill();
  EXPECT_EQ(test::read_file(file("cgroup.kill")), "1");
  EXPECT_EQ(test::read_file(file("cgroup.freeze")), "-");
}

TEST_F(RunCgroupOnDisk, KillsFrozenMembersWhereItCannotAndThawsWhoeverIsLeft) {
  const RunCgroup cgroup = make();
  const pid_t child = test::must_fork();
  if (child == 0) {
    for (;;) ::pause();
  }
  test::write_file(file("cgroup.freeze"), "-");
  test::write_file(file("cgroup.procs"), std::to_string(child) + "\n");
  cgroup.kill();
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  EXPECT_EQ(test::read_file(file("cgroup.freeze")), "0");
}

TEST_F(RunCgroupOnDisk, ThawsWhatIsFrozenAndWritesNowhereElse) {
  const RunCgroup cgroup = make();
  fs::create_directory(file("a"));
  test::write_file(file("cgroup.freeze"), "0\n");
  test::write_file(file("a/cgroup.freeze"), "1\n");
  cgroup.thaw();
  EXPECT_EQ(test::read_file(file("cgroup.freeze")), "0\n");
  EXPECT_EQ(test::read_file(file("a/cgroup.freeze")), "0\n");
}

TEST_F(RunCgroupOnDisk, IsRemovedOnceAndThenGone) {
  RunCgroup cgroup = make();
  const auto removed = cgroup.remove_some();
  ASSERT_TRUE(removed) << removed.error().message();
  EXPECT_TRUE(*removed);
  EXPECT_TRUE(cgroup.is_gone());
  EXPECT_FALSE(fs::exists(cgroup.path()));
  EXPECT_TRUE(*cgroup.remove_some());
}

TEST_F(RunCgroupOnDisk, WhatIsNoCgroupIsNotTrustedWhateverTheRecordSays) {
  const RunCgroup cgroup = make();
  core::RunRecord record;
  record.run_id = kRunId;
  record.uid = ::geteuid();
  record.cgroup = core::CgroupOnRecord{.path = cgroup.path(), .inode = cgroup.inode()};
  EXPECT_EQ(RunCgroup::open_recorded(record).error().code, ESTALE);
  EXPECT_EQ(remove_recorded_cgroup(record, core::TimePoint::max()).error().code, ESTALE);
  record.cgroup->inode.reset();
  EXPECT_EQ(remove_recorded_cgroup(record, core::TimePoint::max()).error().code, ESTALE);
  EXPECT_TRUE(fs::exists(cgroup.path()));
  record.cgroup->path = base_ / "somewhere";
  EXPECT_EQ(RunCgroup::open_recorded(record).error().code, ESTALE);
  record.cgroup->path = "/nowhere/reapctl-" + record.run_id;
  EXPECT_EQ(RunCgroup::open_recorded(record).error().code, ENOENT);
}

TEST(CgroupWalk, TwoDescriptorsAreEnoughForAnyDepth) {
  test::TempDir base;
  EXPECT_TRUE(test::holds_when_forked([&base] {
    constexpr int kDepth = 1000;
    int fd = ::open(base.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int top = ::dup(fd);
    for (int level = 0; level < kDepth; ++level) {
      if (::mkdirat(fd, "d", 0700) != 0) return false;
      const int below = ::openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
      (void)::close(fd);
      fd = below;
    }
    (void)::close(fd);
    rlimit limit{};
    limit.rlim_cur = limit.rlim_max = static_cast<rlim_t>(top) + 5;
    (void)::setrlimit(RLIMIT_NOFILE, &limit);
    int seen = 0;
    const bool all = sys::for_each_cgroup(top, kDepth + 10, [&seen](int) { ++seen; });
    const bool bounded = !sys::for_each_cgroup(top, 10, [](int) {});
    if (!all || seen != kDepth + 1 || !bounded) return false;
    auto removed = sys::remove_cgroups_below(top, 600);
    if (!removed || *removed) return false;  // a part of the work
    while (removed && !*removed) removed = sys::remove_cgroups_below(top, 600);
    return removed && *removed;
  }));
  EXPECT_TRUE(fs::is_empty(base.path()));
}

TEST(CloneChild, IntoWhatIsNoCgroupFailsWithoutAProcess) {
  if (const int code = sys::clone_into_cgroup_error(); code != 0) GTEST_SKIP() << "clone3: " << code;
  alignas(16) static std::array<std::byte, 16384> stack;
  test::TempDir directory;
  const sys::UniqueFd plain(::open(directory.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  const auto run = [](void*) { return 7; };
  EXPECT_EQ(sys::clone_child_into(plain.get(), run, nullptr, stack).error().code, EBADF);
  auto child = sys::clone_child(run, nullptr, stack);
  ASSERT_TRUE(child) << child.error().message();
  int status = 0;
  EXPECT_EQ(::waitpid(child->pid, &status, 0), child->pid);
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

}  // namespace
}  // namespace reapctl::engine
