#include "engine/leftovers_helper.hpp"
#include "support/call_stops.hpp"
#include "support/environment.hpp"
#include "support/removal.hpp"

#include <fcntl.h>
#include <filesystem>
#include <string>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace reapctl::engine {
namespace {

namespace fs = std::filesystem;

/// A --remove path below a link that somebody else exchanges at any call that opens something.
TEST(Leftovers, WhatIsUnlinkedIsWhatWasLookedAt) {
  REQUIRE_CALL_STOPS();
  for (int exchange_at = 0; exchange_at < 3; ++exchange_at) {
    const test::TempDir directory;
    for (const char* name : {"real", "precious"}) {
      fs::create_directory(directory / name);
      test::write_file(directory / name + "/file", "x");
    }
    struct stat parent {};
    ASSERT_EQ(::stat((directory / "real").c_str(), &parent), 0);
    fs::create_directory_symlink(directory / "precious", directory / "link");
    core::RunRecord record;
    record.remove = {{.path = directory / "link/file", .parent_device = parent.st_dev, .parent_inode = parent.st_ino}};
    int opened = 0;
    const auto work = [&record] {
      (void)remove_leftovers(record, {}, core::Clock::now() + core::Millis(1000), [](std::string_view) {});
    };
    test::run_with_stops({SYS_openat}, work, [&](const test::PendingCall& call) {
      if (!call.name().starts_with(directory / "link/")) return 0;
      if (opened++ == exchange_at) {
        fs::remove(directory / "link");
        fs::create_directory_symlink(directory / "real", directory / "link");
      }
      return 0;
    });
    EXPECT_GT(opened, 0);
    EXPECT_TRUE(fs::exists(directory / "precious/file")) << "exchanged at call " << exchange_at;
  }
}

TEST(Leftovers, AChainOfDirectoriesIsMeasuredWithFewDescriptors) {
  const test::TempDir directory;
  core::RunRecord record;
  record.run_id = "0123456789ABCDEF";
  const std::string work = directory / "reapctl-0123456789ABCDEF";
  for (const char* name : {"/a", "/b", "/c"}) {
    fs::create_directories(work + name);
    test::make_chain(work + name, 500);
    test::write_file(work + name + "/file", "x");
  }
  record.workdir.emplace().path = work;
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit few = before;
  few.rlim_cur = 128;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  const WorkdirSize size = measure_workdir(record, true);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(size.there);
  EXPECT_EQ(size.files, 3);
  // What is so deep that a path is too long for it goes by descriptor.
  const sys::UniqueFd parent(::open(directory.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  RemovalProgress progress;
  remove_directory(parent.get(), "reapctl-" + record.run_id, test::identity_of(work), progress);
  EXPECT_TRUE(progress.stats().complete);
}

/// A work directory with something in it, on record as that of a run.
class LeftWorkdir : public testing::Test {
 protected:
  LeftWorkdir() {
    fs::create_directory(path_);
    test::write_file(path_ + "/file", "x");
    const auto is = test::identity_of(path_);
    record_.run_id = "0123456789ABCDEF";
    record_.workdir = {
        .path = path_,
        .keep = false,
        .identity = {{.device = is.device, .inode = is.inode, .birth_time_ns = is.birth_time_ns, .owner = is.owner}}};
  }

  LeftoversRemoved remove(bool same_boot) {
    const LeftoverScope scope{.same_mounts = true, .same_boot = same_boot, .insist = false, .claimed = {}};
    return remove_leftovers(record_, scope, core::Clock::now() + core::Millis(10'000), [](std::string_view) {});
  }

  void expect_refused(bool same_boot) {
    EXPECT_FALSE(measure_workdir(record_, same_boot).there);
    const LeftoversRemoved removed = remove(same_boot);
    ASSERT_EQ(removed.remarks.size(), 1U);
    EXPECT_EQ(removed.remarks.front(), path_ + " is another directory now: left alone");
    EXPECT_TRUE(fs::exists(path_ + "/file"));
  }

  test::TempDir directory_;
  std::string path_ = directory_ / "reapctl-0123456789ABCDEF";
  core::RunRecord record_;
};

TEST_F(LeftWorkdir, OfAnotherBootMayBeOnAnotherDevice) {
  ++record_.workdir->identity->device;
  expect_refused(true);
  EXPECT_TRUE(measure_workdir(record_, false).there);
  const LeftoversRemoved removed = remove(false);
  EXPECT_TRUE(removed.remarks.empty());
  EXPECT_EQ(removed.items.size(), 1U);
  EXPECT_FALSE(fs::exists(path_));
}

TEST_F(LeftWorkdir, OfAnotherBootMustAgreeInAllTheRest) {
  const core::WorkdirOnRecord::Identity right = *record_.workdir->identity;
  auto& recorded = *record_.workdir->identity;
  ++recorded.device;
  ++recorded.inode;
  expect_refused(false);
  recorded.inode = right.inode;
  ++recorded.birth_time_ns;
  expect_refused(false);
  recorded.birth_time_ns = right.birth_time_ns;
  ++recorded.owner;
  expect_refused(false);
}

TEST_F(LeftWorkdir, WhatCannotBeDeletedIsNamedAndCounted) {
  REQUIRE_CALL_STOPS();
  fs::create_directory(path_ + "/mounted");
  test::write_file(path_ + "/mounted/file", "x");
  LeftoversRemoved removed;
  test::run_with_stops(
      {SYS_openat2}, [&] { removed = remove(true); },
      [](const test::PendingCall& call) { return call.name() == "mounted" ? EXDEV : 0; });
  EXPECT_EQ(
      removed.problem,
      path_ + " could not be deleted completely: reapctl-0123456789ABCDEF/mounted (EXDEV: something is mounted there)");
  test::write_file(path_ + "/one", "x");
  test::write_file(path_ + "/two", "x");
  test::run_with_stops(
      {SYS_unlinkat}, [&] { removed = remove(true); },
      [](const test::PendingCall& call) { return call.is_rmdir() ? 0 : EPERM; });
  EXPECT_THAT(removed.problem, testing::HasSubstr(" (EPERM), and 2 more"));
}

TEST(LeftoversHelper, WhatTheChildSaysArrives) {
  LeftoversRemoved removed;
  removed.problem = "a\nproblem";
  removed.remarks = {"", "second"};
  removed.items = {{.kind = "workdir", .path = "/a b\n", .run_id = "0A", .files = 3, .bytes = 1LL << 40},
                   {.kind = "path", .path = "/c", .run_id = "0A", .files = 1, .bytes = 0}};
  const std::string text = encode(removed);
  const auto arrived = decode_leftovers(text);
  ASSERT_TRUE(arrived.has_value());
  EXPECT_EQ(arrived->problem, removed.problem);
  EXPECT_EQ(arrived->remarks, removed.remarks);
  ASSERT_EQ(arrived->items.size(), 2U);
  EXPECT_EQ(arrived->items[0].path, "/a b\n");
  EXPECT_EQ(arrived->items[0].bytes, 1LL << 40);
  EXPECT_EQ(encode(*arrived), text);
  EXPECT_TRUE(decode_leftovers(encode({})).has_value());
  for (const std::size_t cut : {std::size_t{1}, text.size() / 2}) {
    EXPECT_FALSE(decode_leftovers(std::string_view(text).substr(0, text.size() - cut)).has_value());
  }
  EXPECT_FALSE(decode_leftovers("").has_value());
}

}  // namespace
}  // namespace reapctl::engine
