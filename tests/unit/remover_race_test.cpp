#include "support/call_stops.hpp"
#include "support/environment.hpp"
#include "support/removal.hpp"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <iostream>
#include <string>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

/// Others change the tree while it is deleted.
namespace reapctl::test {
namespace {

namespace fs = std::filesystem;
using engine::RemovalStats;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr int kFchmodat2 = 452;
const std::vector<int> kAllCalls{SYS_openat2, SYS_openat, SYS_unlinkat,   SYS_renameat, SYS_renameat2,
                                 SYS_fchmod,  kFchmodat2, SYS_getdents64, SYS_statx};

/// A tree to delete, beside one that must not be harmed and a place to move things to.
class RemoverRace : public testing::Test {
 protected:
  RemoverRace() {
    fs::create_directories(outside_ + "/inner");
    fs::create_directories(aside_ + "/neighbour");
    for (const std::string& path : places()) write_file(path + "/precious", "kept");
    for (const std::string& path : places()) fs::permissions(path, fs::perms(0755));
  }

  [[nodiscard]] std::vector<std::string> places() const {
    return {outside_, outside_ + "/inner", aside_, aside_ + "/neighbour"};
  }

  void expect_unharmed() const {
    for (const std::string& path : places()) {
      ASSERT_EQ(read_file(path + "/precious"), "kept") << path;
      ASSERT_EQ(fs::status(path).permissions(), fs::perms(0755)) << path;
    }
  }

  void build(int mode) const {
    fs::create_directories(work_ + "/a/b/c");
    fs::create_directories(work_ + "/z");
    for (const char* name : {"/a", "/a/b", "/a/b/c", "/z"}) make_files(work_ + name, 2);
    fs::create_directory_symlink(outside_, work_ + "/link");
    fs::permissions(work_ + "/a/b", fs::perms(mode));
  }

  /// Deletes the tree again and again; before the first, second, … system call of the remover does `mischief`.
  void at_every_step(int mode, const std::function<void()>& mischief, bool complete) {
    for (int step = 0, calls = 1; step < calls; ++step) {
      build(mode);
      calls = 0;
      RemovalStats stats;
      run_with_stops(
          kAllCalls, [&] { without_privileges([&] { stats = remove_tree(work_); }); },
          [&](const PendingCall&) {
            if (calls++ == step) mischief();
            return 0;
          });
      expect_unharmed();
      if (complete) {
        ASSERT_THAT(errors_of(stats), IsEmpty()) << "step " << step;
        ASSERT_TRUE(stats.complete) << "step " << step;
      }
      clean_up();
      if (HasFatalFailure()) return;
    }
  }

  void clean_up() const {
    std::error_code absent;
    for (const std::string& path : {work_, aside_ + "/moved"}) {
      if (!fs::is_symlink(path) && fs::is_directory(path)) (void)remove_tree(path);
      fs::remove(path, absent);
    }
  }

  TempDir directory_;
  std::string work_ = directory_ / "work";
  std::string outside_ = directory_ / "outside";
  std::string aside_ = directory_ / "aside";
};

void move(const std::string& from, const std::string& to) {
  (void)::rename(from.c_str(), to.c_str());
}

TEST_F(RemoverRace, ADirectoryTurnsIntoALinkBeforeAnyCall) {
  REQUIRE_CALL_STOPS();
  for (const int mode : {0700, 0000, 0500}) {
    at_every_step(
        mode,
        [this] {
          move(work_ + "/a/b", work_ + "/was-b");
          move(work_ + "/link", work_ + "/a/b");
        },
        true);
  }
}

TEST_F(RemoverRace, ADirectoryIsMovedOutBeforeAnyCall) {
  REQUIRE_CALL_STOPS();
  for (const int mode : {0700, 0000}) {
    at_every_step(
        mode, [this] { move(work_ + "/a/b", aside_ + "/moved"); }, true);
  }
}

TEST_F(RemoverRace, TheDirectoryItselfTurnsIntoALinkBeforeAnyCall) {
  REQUIRE_CALL_STOPS();
  at_every_step(
      0700,
      [this] {
        move(work_, aside_ + "/moved");
        fs::create_directory_symlink(outside_, work_);
      },
      false);
}

TEST_F(RemoverRace, AFileTurnsIntoADirectoryAndBackBeforeAnyCall) {
  REQUIRE_CALL_STOPS();
  at_every_step(
      0700,
      [this] {
        move(work_ + "/a/file0", work_ + "/was-file0");
        move(work_ + "/z", work_ + "/a/file0");
        move(work_ + "/was-file0", work_ + "/z");
      },
      true);
}

TEST_F(RemoverRace, FilesThatAppearMeanwhileAreDeletedToo) {
  REQUIRE_CALL_STOPS();
  build(0700);
  int appeared = 0;
  RemovalStats stats;
  run_with_stops(
      {SYS_unlinkat}, [&] { stats = remove_tree(work_); },
      [&](const PendingCall& call) {
        if (call.is_rmdir() && call.name() == "a" && appeared < 3) {
          write_file(work_ + "/a/new" + std::to_string(appeared++), "");
        }
        return 0;
      });
  EXPECT_EQ(appeared, 3);
  EXPECT_TRUE(stats.complete);
  EXPECT_EQ(stats.counts.files, 9 + 3);
}

TEST_F(RemoverRace, ADirectoryThatNeverGetsEmptyIsGivenUp) {
  REQUIRE_CALL_STOPS();
  build(0700);
  int tries = 0;
  RemovalStats stats;
  run_with_stops(
      {SYS_unlinkat}, [&] { stats = remove_tree(work_); },
      [&](const PendingCall& call) {
        if (call.is_rmdir() && call.name() == "a") write_file(work_ + "/a/new" + std::to_string(tries++), "");
        return 0;
      });
  EXPECT_GT(tries, 2);
  EXPECT_LT(tries, 100);
  EXPECT_FALSE(stats.complete);
  EXPECT_THAT(errors_of(stats), ElementsAre("ENOTEMPTY work/a"));
  EXPECT_FALSE(fs::exists(work_ + "/z"));
}

/// Makes directories, each in the one before, until they cannot be deleted faster than they are made any more.
class Grower {
 public:
  explicit Grower(const std::string& path) : at_(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    grow(kHeadStart);
    thread_ = std::thread([this] { grow(kMost); });
  }
  ~Grower() {
    over_ = true;
    thread_.join();
  }
  Grower(const Grower&) = delete;
  Grower& operator=(const Grower&) = delete;

 private:
  static constexpr int kHeadStart = 5'000;
  static constexpr int kMost = 300'000;

  void grow(int levels) {
    for (int i = 0; i < levels && !over_ && ::mkdirat(at_.get(), "d", 0700) == 0; ++i) {
      at_.reset(::openat(at_.get(), "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    }
  }

  sys::UniqueFd at_;
  std::atomic<bool> over_{false};
  std::thread thread_;
};

TEST_F(RemoverRace, DirectoriesThatAreMadeForEverAreGivenUp) {
  build(0700);
  fs::create_directory(work_ + "/growing");
  RemovalStats stats;
  {
    const Grower grower(work_ + "/growing");
    stats = remove_tree(work_);
  }
  EXPECT_LT(stats.counts.directories, 100'000);
  EXPECT_EQ(stats.counts.files, 9);
  EXPECT_THAT(errors_of(stats), testing::Each(testing::StartsWith("ENOTEMPTY work")));
  // In peace, or had it been caught up with, all of it goes.
  EXPECT_TRUE(stats.complete || remove_tree(work_).complete);
}

TEST_F(RemoverRace, SomebodyElseDeletesTheSameTree) {
  for (int i = 0; i < 20; ++i) {
    for (const char* name : {"/a", "/b/c", "/d/e/f"}) {
      fs::create_directories(work_ + name);
      make_files(work_ + name, 50);
    }
    const sys::UniqueFd parent(::open(directory_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const auto identity = identity_of(work_);  // before either of them may have deleted it
    const auto remove = [&] {
      engine::RemovalProgress progress;
      engine::remove_directory(parent.get(), "work", identity, progress);
      return progress.stats();
    };
    std::thread other([&] { (void)remove(); });
    const RemovalStats stats = remove();
    other.join();
    EXPECT_THAT(errors_of(stats), testing::Each(testing::AnyOf("ENOENT work", "ESTALE work")));
    EXPECT_FALSE(fs::exists(work_));
  }
}

/// Two threads swap directories and links to outside, and move directories out and in, without pause.
class RemoverAttack : public RemoverRace {
 protected:
  static constexpr int kSlots = 40;

  [[nodiscard]] static std::string slot(const std::string& root, int number) {
    return root + "/slot" + std::to_string(number);
  }

  /// Out of the attackers' reach: they would have us write through their links.
  void build_arena(const std::string& root) const {
    for (int i = 0; i < kSlots; ++i) {
      const std::string path = slot(root, i);
      fs::create_directories(path + "/x/y");
      make_files(path, 2);
      make_files(path + "/x/y", 1);
      if (i % 4 == 0) make_chain(path + "/x/y", 20);
      fs::create_directory_symlink(i % 2 == 0 ? outside_ : outside_ + "/inner", path + ".link");
      if (i % 3 == 0) fs::permissions(path + "/x", fs::perms(0));
    }
  }

  /// One attacker. Exchanges are atomic: the name is there at any time, as one thing or the other.
  void attack(unsigned seed) {
    while (!over_.load(std::memory_order_relaxed)) {
      seed = seed * 1664525 + 1013904223;
      const std::string one = slot(work_, static_cast<int>((seed >> 8) % kSlots));
      const std::string deep = one + ((seed >> 20) % 3 == 0 ? "" : (seed >> 20) % 3 == 1 ? "/x" : "/x/y");
      const std::string two = slot(work_, static_cast<int>((seed >> 16) % kSlots));
      if ((seed >> 24) % 4 != 0) {
        const std::string link = two + ".link";
        count(::syscall(SYS_renameat2, AT_FDCWD, deep.c_str(), AT_FDCWD, link.c_str(), 2U /* RENAME_EXCHANGE */));
      } else {
        const std::string away = aside_ + "/moved" + std::to_string(seed % 97);
        count(::rename(deep.c_str(), away.c_str()));
        count(::rename(away.c_str(), (two + "/back").c_str()));
      }
    }
  }

  void count(long result) {
    if (result == 0) swaps_.fetch_add(1, std::memory_order_relaxed);
  }

  /// Builds a tree and deletes it under attack.
  void round() {
    build_arena(nursery_);
    while (::rename(nursery_.c_str(), work_.c_str()) != 0) {
      // Left from the round before, for they kept moving things in.
      ASSERT_TRUE(errno == ENOTEMPTY || errno == EEXIST) << std::strerror(errno);
      remove_under_attack();
    }
    remove_under_attack();
    expect_unharmed();
  }

  void remove_under_attack() {
    without_privileges([this] { files_ += remove_tree(work_).counts.files; });
    ++removals_;
  }

  std::string nursery_ = directory_ / "nursery";
  std::atomic<bool> over_{false};
  std::atomic<std::int64_t> swaps_{0};
  std::int64_t files_ = 0;
  int removals_ = 0;
};

TEST_F(RemoverAttack, HarmsNothingOutside) {
  const char* wanted = std::getenv("REAPCTL_TEST_ATTACK_SECONDS");
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(wanted != nullptr ? std::atoi(wanted) : 1);
  std::thread attackers[] = {std::thread([this] { attack(1); }), std::thread([this] { attack(2); })};
  while (std::chrono::steady_clock::now() < end && !HasFatalFailure()) round();
  over_ = true;
  for (std::thread& attacker : attackers) attacker.join();

  // In peace everything goes. What they moved out and not back in goes with the test's directory.
  if (fs::exists(work_)) without_privileges([&] { EXPECT_TRUE(remove_tree(work_).complete); });
  expect_unharmed();
  RecordProperty("swaps", std::to_string(swaps_.load()));
  std::cout << removals_ << " removals, " << files_ << " files deleted, " << swaps_.load() << " swaps\n";
}

}  // namespace
}  // namespace reapctl::test
