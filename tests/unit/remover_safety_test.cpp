#include "support/call_stops.hpp"
#include "support/environment.hpp"
#include "support/removal.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <linux/fs.h>
#include <string>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

/// What must not be deleted, and what cannot be.
namespace reapctl::test {
namespace {

namespace fs = std::filesystem;
using engine::RemovalStats;
using testing::ElementsAre;
using testing::IsEmpty;

/// Makes the kernel look like one before openat2, mount ids in statx, and fchmodat2.
int old_kernel(const PendingCall& call) {
  if (call.number != SYS_statx) return ENOSYS;
  return call.arguments[3] == STATX_MNT_ID ? ENOSYS : 0;
}

constexpr int kFchmodat2 = 452;
const std::vector<int> kNewCalls{SYS_openat2, kFchmodat2, SYS_statx};

class RemoverSafety : public testing::Test {
 protected:
  RemoverSafety() {
    fs::create_directories(work_);
    fs::create_directories(outside_ + "/inner");
    write_file(outside_ + "/precious", "kept");
    write_file(outside_ + "/inner/precious", "kept");
    fs::permissions(outside_, fs::perms(0755));
    fs::permissions(outside_ + "/inner", fs::perms(0755));
  }

  void expect_outside_unharmed() const {
    EXPECT_EQ(read_file(outside_ + "/precious"), "kept");
    EXPECT_EQ(read_file(outside_ + "/inner/precious"), "kept");
    EXPECT_EQ(fs::status(outside_).permissions(), fs::perms(0755));
    EXPECT_EQ(fs::status(outside_ + "/inner").permissions(), fs::perms(0755));
  }

  /// Modes in every combination that can be in the way, a file in each.
  void make_locked_directories() const {
    for (const int mode : {0000, 0100, 0200, 0300, 0400, 0500, 0600}) {
      const std::string outer = work_ + "/outer" + std::to_string(mode);
      fs::create_directories(outer + "/inner/innermost");
      write_file(outer + "/inner/file", "x");
      fs::permissions(outer + "/inner", fs::perms(mode));
      fs::permissions(outer, fs::perms(mode));
    }
    fs::permissions(work_, fs::perms(0));
  }

  TempDir directory_;
  std::string work_ = directory_ / "work";
  std::string outside_ = directory_ / "outside";
};

TEST_F(RemoverSafety, ADirectoryThatIsNotTheExpectedOneIsRefused) {
  write_file(work_ + "/file", "");
  fs::permissions(work_, fs::perms(0500));
  const sys::UniqueFd parent(::open(directory_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const auto right = identity_of(work_);
  auto wrong_inode = right;
  ++wrong_inode.inode;
  auto wrong_device = right;
  ++wrong_device.device;
  auto wrong_birth = right;
  ++wrong_birth.birth_time_ns;
  auto wrong_owner = right;
  ++wrong_owner.owner;
  for (const auto& identity : {wrong_inode, wrong_device, wrong_birth, wrong_owner}) {
    engine::RemovalProgress progress;
    engine::remove_directory(parent.get(), "work", identity, progress);
    EXPECT_FALSE(progress.stats().complete);
    EXPECT_THAT(errors_of(progress.stats()), ElementsAre("ESTALE work"));
  }
  EXPECT_TRUE(fs::exists(work_ + "/file"));
  EXPECT_EQ(fs::status(work_).permissions(), fs::perms(0500));
}

TEST_F(RemoverSafety, ALinkInItsPlaceIsNotFollowed) {
  const auto identity = identity_of(outside_);
  fs::remove(work_);
  fs::create_directory_symlink(outside_, work_);
  const sys::UniqueFd parent(::open(directory_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  engine::RemovalProgress progress;
  engine::remove_directory(parent.get(), "work", identity, progress);
  EXPECT_FALSE(progress.stats().complete);
  expect_outside_unharmed();
}

TEST_F(RemoverSafety, DirectoriesWithoutPermissionsAreDeleted) {
  make_locked_directories();
  without_privileges([this] {
    const RemovalStats stats = remove_tree(work_);
    EXPECT_THAT(errors_of(stats), IsEmpty());
    EXPECT_TRUE(stats.complete);
    EXPECT_EQ(stats.counts.files, 7);
    EXPECT_EQ(stats.counts.directories, 7 * 3 + 1);
  });
}

TEST_F(RemoverSafety, DirectoriesWithoutPermissionsAreDeletedOnAnOldKernel) {
  REQUIRE_CALL_STOPS();
  make_locked_directories();
  run_with_stops(
      kNewCalls, [this] { without_privileges([this] { EXPECT_TRUE(remove_tree(work_).complete); }); }, old_kernel);
  EXPECT_FALSE(fs::exists(work_));
}

TEST_F(RemoverSafety, ALockedDirectoryThatIsTooDeepIsMovedAllTheSame) {
  std::string path = work_;
  for (int level = 0; level < 40; ++level) path += "/d";
  fs::create_directories(path);
  for (; path != work_; path.resize(path.size() - 2)) fs::permissions(path, fs::perms(0500));
  without_privileges([this] {
    const RemovalStats stats = remove_tree(work_);
    EXPECT_THAT(errors_of(stats), IsEmpty());
    EXPECT_TRUE(stats.complete);
  });
}

/// On a disk that has no room for another name in the work directory, say.
TEST_F(RemoverSafety, WhereNothingCanBeMovedUpItGoesDeeper) {
  REQUIRE_CALL_STOPS();
  make_chain(work_, 20);
  for (const char* name : {"/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d", "/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d"}) {
    for (const char* wide : {"/a", "/b", "/c"}) {
      fs::create_directory(work_ + name + wide);
      make_files(work_ + name + wide, 2);
    }
  }
  RemovalStats stats;
  run_with_stops(
      {SYS_renameat, SYS_renameat2}, [&] { stats = remove_tree(work_); }, [](const PendingCall&) { return ENOSPC; });
  EXPECT_THAT(errors_of(stats), IsEmpty());
  EXPECT_TRUE(stats.complete);
  EXPECT_EQ(stats.counts.files, 12);
}

TEST_F(RemoverSafety, WhereNothingCanBeMovedUpThereIsABound) {
  REQUIRE_CALL_STOPS();
  make_chain(work_, 100);
  RemovalStats stats;
  run_with_stops(
      {SYS_renameat, SYS_renameat2}, [&] { stats = remove_tree(work_); }, [](const PendingCall&) { return ENOSPC; });
  EXPECT_FALSE(stats.complete);
  EXPECT_THAT(errors_of(stats), ElementsAre(testing::StartsWith("ENOSPC work/d/d/d")));
  EXPECT_TRUE(remove_tree(work_).complete);
}

/// A bind mount of the same file system, another file system, and a bind mount on a file, between things to delete.
void expect_mounts_left(const std::string& work, const std::string& outside) {
  fs::create_directories(work + "/a/bind/below");
  fs::create_directories(work + "/other");
  write_file(work + "/a/file", "x");
  write_file(work + "/onto", "x");
  ASSERT_EQ(::mount(outside.c_str(), (work + "/a/bind").c_str(), nullptr, MS_BIND, nullptr), 0);
  ASSERT_EQ(::mount("none", (work + "/other").c_str(), "tmpfs", 0, nullptr), 0);
  ASSERT_EQ(::mount((outside + "/precious").c_str(), (work + "/onto").c_str(), nullptr, MS_BIND, nullptr), 0);
  write_file(work + "/other/mounted", "kept");
  const RemovalStats stats = remove_tree(work);
  EXPECT_FALSE(stats.complete);
  EXPECT_THAT(errors_of(stats), ElementsAre("EBUSY work/onto", "EXDEV work/a/bind", "EXDEV work/other"));
  EXPECT_EQ(stats.counts.files, 1);
  EXPECT_EQ(read_file(work + "/other/mounted"), "kept");
}

TEST_F(RemoverSafety, MountsAreReportedAndLeft) {
  const std::string obstacle = with_own_mounts([this] { expect_mounts_left(work_, outside_); });
  if (!obstacle.empty()) GTEST_SKIP() << obstacle;
  expect_outside_unharmed();
}

TEST_F(RemoverSafety, MountsAreReportedAndLeftOnAnOldKernel) {
  REQUIRE_CALL_STOPS();
  std::string obstacle;
  run_with_stops(
      kNewCalls, [&] { obstacle = with_own_mounts([this] { expect_mounts_left(work_, outside_); }); }, old_kernel);
  if (!obstacle.empty()) GTEST_SKIP() << obstacle;
  expect_outside_unharmed();
}

TEST_F(RemoverSafety, AMountOnTheDirectoryItselfIsRefused) {
  const std::string obstacle = with_own_mounts([this] {
    ASSERT_EQ(::mount(outside_.c_str(), work_.c_str(), nullptr, MS_BIND, nullptr), 0);
    EXPECT_THAT(errors_of(remove_tree(work_)), ElementsAre("EXDEV work"));
  });
  if (!obstacle.empty()) GTEST_SKIP() << obstacle;
  expect_outside_unharmed();
}

/// The immutable attribute of a file or directory while this object lives, chattr(1).
class Immutable {
 public:
  explicit Immutable(const std::string& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    works_ = ::ioctl(fd_.get(), FS_IOC_GETFLAGS, &before_) == 0 && set(before_ | FS_IMMUTABLE_FL);
  }
  ~Immutable() { EXPECT_TRUE(!works_ || set(before_)); }
  Immutable(const Immutable&) = delete;
  Immutable& operator=(const Immutable&) = delete;
  [[nodiscard]] bool works() const { return works_; }

 private:
  [[nodiscard]] bool set(int flags) const { return ::ioctl(fd_.get(), FS_IOC_SETFLAGS, &flags) == 0; }
  sys::UniqueFd fd_;
  int before_ = 0;
  bool works_ = false;
};

TEST_F(RemoverSafety, WhatIsImmutableIsReportedAndTheRestDeleted) {
  for (const char* name : {"/a", "/b/held", "/c"}) {
    fs::create_directories(work_ + name);
    make_files(work_ + name, 3);
  }
  const Immutable file(work_ + "/a/file1");
  const Immutable directory(work_ + "/b/held");
  if (!file.works() || !directory.works()) GTEST_SKIP() << "no immutable attribute here: " << std::strerror(errno);
  const RemovalStats stats = remove_tree(work_);
  EXPECT_FALSE(stats.complete);
  EXPECT_THAT(errors_of(stats), ElementsAre("EPERM work/a/file1", "EPERM work/b/held/file0", "EPERM work/b/held/file1",
                                            "EPERM work/b/held/file2"));
  EXPECT_EQ(stats.counts.files, 5);
  EXPECT_FALSE(fs::exists(work_ + "/c"));
}

TEST_F(RemoverSafety, SomebodyElsesDirectoryIsReportedForWhatItIs) {
  REQUIRE_CALL_STOPS();
  make_files(work_, 1);
  RemovalStats stats;
  run_with_stops(
      {SYS_unlinkat, SYS_fchmod}, [&] { stats = remove_tree(work_); },
      [](const PendingCall& call) { return call.number == SYS_fchmod ? EPERM : EACCES; });
  EXPECT_THAT(errors_of(stats), ElementsAre("EACCES work/file0"));
}

TEST_F(RemoverSafety, ErrorsAreCountedBeyondTheListsLimit) {
  REQUIRE_CALL_STOPS();
  make_files(work_, 100);
  fs::create_directory(work_ + "/d");
  RemovalStats stats;
  run_with_stops(
      {SYS_unlinkat}, [&] { stats = remove_tree(work_); },
      [](const PendingCall& call) { return call.is_rmdir() ? 0 : EIO; });
  EXPECT_FALSE(stats.complete);
  EXPECT_EQ(stats.errors.size(), core::kListLimit);
  EXPECT_EQ(stats.errors_total, 100);
  EXPECT_EQ(stats.errors.front().errno_name, "EIO");
  EXPECT_EQ(stats.counts.directories, 1);
}

}  // namespace
}  // namespace reapctl::test
