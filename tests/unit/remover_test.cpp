#include "engine/remover.hpp"

#include "support/call_stops.hpp"
#include "support/environment.hpp"
#include "support/removal.hpp"

#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <functional>
#include <future>
#include <optional>
#include <poll.h>
#include <pthread.h>
#include <string>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

/// What is deleted, how it is counted, and how a removal is run and given up.
namespace reapctl::test {
namespace {

namespace fs = std::filesystem;
using engine::RemovalJob;
using engine::RemovalStats;
using testing::ElementsAre;
using testing::IsEmpty;

class Remover : public testing::Test {
 protected:
  Remover() { fs::create_directory(work_); }

  [[nodiscard]] sys::Result<RemovalJob> start() const {
    sys::UniqueFd parent(::open(directory_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return RemovalJob::start(
        {.paths = {}, .parent = std::move(parent), .name = "work", .expected = identity_of(work_)});
  }

  TempDir directory_;
  std::string work_ = directory_ / "work";
};

std::int64_t blocks_of(const std::string& path) {
  struct stat status {};
  EXPECT_EQ(::lstat(path.c_str(), &status), 0) << path;
  return std::int64_t{status.st_blocks} * 512;
}

void wait_for(int fd) {
  pollfd done{.fd = fd, .events = POLLIN, .revents = 0};
  ASSERT_EQ(::poll(&done, 1, static_cast<int>(std::chrono::milliseconds(kPatience).count())), 1);
}

TEST_F(Remover, DeletesEveryKindOfFile) {
  fs::create_directories(work_ + "/a/b");
  write_file(work_ + "/a/file", "text");
  write_file(directory_ / "outside", "kept");
  fs::create_symlink(directory_ / "outside", work_ + "/link");
  fs::create_symlink("nowhere", work_ + "/dangling");
  fs::create_directory_symlink("/", work_ + "/a/b/root");
  ASSERT_EQ(::mkfifo((work_ + "/fifo").c_str(), 0), 0);
  const sys::UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  const fs::path here = fs::current_path();
  fs::current_path(work_);  // the path of a socket is short
  std::string("socket").copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  fs::current_path(here);

  const RemovalStats stats = remove_tree(work_);
  EXPECT_TRUE(stats.complete);
  EXPECT_THAT(errors_of(stats), IsEmpty());
  EXPECT_EQ(stats.counts.files, 6);
  EXPECT_EQ(stats.counts.directories, 3);
  EXPECT_FALSE(fs::exists(work_));
  EXPECT_EQ(read_file(directory_ / "outside"), "kept");
}

TEST_F(Remover, DeletesNamesOf255BytesWithNewlinesAndNoEncoding) {
  std::string name(255, '\n');
  name[1] = static_cast<char>(0xff);
  const std::string nested = work_ + "/" + name + "/" + name;
  fs::create_directories(nested);
  write_file(nested + "/" + std::string(255, 'x'), "");
  write_file(nested + "/...", "");
  write_file(nested + "/..\n", "");
  EXPECT_TRUE(remove_tree(work_).complete);
  EXPECT_FALSE(fs::exists(work_));
}

TEST_F(Remover, CountsTheBlocksThatBecomeFree) {
  fs::create_directory(work_ + "/d");
  write_file(work_ + "/d/file", std::string(100'000, 'x'));
  write_file(work_ + "/sparse", "");
  fs::resize_file(work_ + "/sparse", 1'000'000'000);
  write_file(work_ + "/first", std::string(10'000, 'y'));
  fs::create_hard_link(work_ + "/first", work_ + "/d/second");
  write_file(directory_ / "elsewhere", std::string(20'000, 'z'));
  fs::create_hard_link(directory_ / "elsewhere", work_ + "/lives-on");
  ::sync();  // delayed allocation settles block counts
  std::int64_t expected = 0;
  for (const char* name : {"", "/d", "/d/file", "/sparse", "/first"}) expected += blocks_of(work_ + name);

  const RemovalStats stats = remove_tree(work_);
  EXPECT_EQ(stats.counts.files, 5);
  EXPECT_EQ(stats.counts.bytes, expected);
  EXPECT_EQ(fs::file_size(directory_ / "elsewhere"), 20'000U);
}

/// Runs `work` on a thread with next to no stack.
void on_a_small_stack(std::function<void()> work) {
  pthread_attr_t attributes;
  ASSERT_EQ(::pthread_attr_init(&attributes), 0);
  ASSERT_EQ(::pthread_attr_setstacksize(&attributes, 128 * 1024), 0);
  const auto run = [](void* argument) -> void* {
    (*static_cast<std::function<void()>*>(argument))();
    return nullptr;
  };
  pthread_t thread{};
  ASSERT_EQ(::pthread_create(&thread, &attributes, run, &work), 0);
  ASSERT_EQ(::pthread_join(thread, nullptr), 0);
  ::pthread_attr_destroy(&attributes);
}

// tests/bench/delete has a hundred thousand, which on a busy disk take minutes.
TEST_F(Remover, DeletesThousandsOfLevelsWithFewDescriptorsAndNoStack) {
  make_chain(work_, 3000);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit few = before;
  few.rlim_cur = 48;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  RemovalStats stats;
  on_a_small_stack([&] { stats = remove_tree(work_); });
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_THAT(errors_of(stats), IsEmpty());
  EXPECT_TRUE(stats.complete);
  EXPECT_EQ(stats.counts.directories, 3001);
}

TEST_F(Remover, DeletesWithTheVeryLastDescriptor) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer needs descriptors of its own";
#endif
  make_chain(work_, 40);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit few = before;
  // The work directory's parent, itself, and one for looking at it or for one below it.
  few.rlim_cur = static_cast<rlim_t>(sys::UniqueFd(::open("/", O_PATH | O_CLOEXEC)).get()) + 3;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  const RemovalStats stats = remove_tree(work_);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_THAT(errors_of(stats), IsEmpty());
  EXPECT_TRUE(stats.complete);
}

TEST_F(Remover, DeletesDeepTreesWithABranchAtEachLevel) {
  // Two directories at each level of each chain: what is moved up to the top is itself wide and deep.
  std::string path = work_;
  for (int level = 0; level < 50; ++level) {
    make_chain(path, 50);
    path += "/e";
    fs::create_directory(path);
    write_file(path + "/file", "x");
  }
  const RemovalStats stats = remove_tree(work_);
  EXPECT_THAT(errors_of(stats), IsEmpty());
  EXPECT_TRUE(stats.complete);
  EXPECT_EQ(stats.counts.files, 50);
  EXPECT_EQ(stats.counts.directories, 50 * 51 + 1);
}

TEST_F(Remover, WithoutDescriptorsMovesDirectoriesUpEarlier) {
  make_chain(work_, 12);
  fs::create_directory(work_ + "/d/d/sibling");
  bool refused = false;
  run_with_stops(
      {SYS_openat2}, [this] { EXPECT_TRUE(remove_tree(work_).complete); },
      [&](const PendingCall& call) {
        if (refused || call.name() != "sibling") return 0;
        refused = true;
        return EMFILE;
      });
  EXPECT_TRUE(refused);
  EXPECT_FALSE(fs::exists(work_));
}

/// The most memory that was used since the last reset, in KiB.
std::int64_t peak_memory_kib() {
  const std::string status = read_file("/proc/self/status");
  return std::stoll(status.substr(status.find("VmHWM:") + 6));
}

TEST_F(Remover, NeedsNoMemoryForAWideDirectory) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer's memory would be measured";
#endif
  constexpr int kFiles = 50'000;
  make_files(work_, kFiles);
  write_file("/proc/self/clear_refs", "5");  // resets the peak, proc(5)
  const std::int64_t before = peak_memory_kib();
  const RemovalStats stats = remove_tree(work_);
  EXPECT_TRUE(stats.complete);
  EXPECT_EQ(stats.counts.files, kFiles);
  EXPECT_LT(peak_memory_kib() - before, 1536) << "a list of the names alone would take 1600";
}

TEST_F(Remover, AnAbsentDirectoryIsACompleteRemoval) {
  const auto identity = identity_of(work_);
  fs::remove(work_);
  const sys::UniqueFd parent(::open(directory_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  engine::RemovalProgress progress;
  engine::remove_directory(parent.get(), "work", identity, progress);
  EXPECT_TRUE(progress.stats().complete);
  EXPECT_EQ(progress.counts().directories, 0);
}

TEST_F(Remover, ManyThreadsShareTheWorkWhenItIsWaiting) {
  REQUIRE_CALL_STOPS();
  for (const char* name : {"/a", "/b", "/c"}) {
    fs::create_directory(work_ + name);
    make_files(work_ + name, 500);
  }
  RemovalStats stats;
  // Each unlinkat waits for our answer, as it would for a slow disk.
  run_with_stops(
      {SYS_unlinkat}, [&] { stats = remove_tree(work_); }, [](const PendingCall&) { return 0; });
  EXPECT_TRUE(stats.complete);
  EXPECT_EQ(stats.counts.files, 1500);
  EXPECT_EQ(stats.counts.directories, 4);
  EXPECT_GT(stats.threads, 2);
}

TEST_F(Remover, JobSaysOnItsEventfdThatItHasEnded) {
  fs::create_directories(work_ + "/a/b");
  auto job = start();
  ASSERT_TRUE(job.ok());
  wait_for(job->completion_fd());
  const RemovalStats stats = job->take_result();
  EXPECT_TRUE(stats.complete);
  EXPECT_EQ(stats.counts.directories, 3);
  EXPECT_GE(stats.threads, 1);
  EXPECT_FALSE(engine::removal_threads_exist());
}

TEST_F(Remover, JobWithoutThreadsGoesOnBitByBit) {
  REQUIRE_CALL_STOPS();
  constexpr int kFiles = 3000;
  make_files(work_, kFiles);
  int parts = 0;
  RemovalStats stats;
  const auto delete_in_parts = [&] {
    auto job = start();
    ASSERT_TRUE(job.ok());
    EXPECT_FALSE(engine::removal_threads_exist());
    for (bool ended = false; !ended; ++parts) {
      wait_for(job->completion_fd());
      ended = job->ended();
    }
    stats = job->take_result();
  };
  run_with_stops({SYS_clone, SYS_clone3, SYS_unlinkat}, delete_in_parts,
                 [](const PendingCall& call) { return call.number == SYS_unlinkat ? 0 : EAGAIN; });
  EXPECT_GT(parts, 1);
  EXPECT_TRUE(stats.complete);
  EXPECT_EQ(stats.threads, 0);
  EXPECT_EQ(stats.counts.files, kFiles);
  EXPECT_FALSE(fs::exists(work_));
}

TEST_F(Remover, JobWithoutThreadsSaysOnceWhatIsWrong) {
  REQUIRE_CALL_STOPS();
  auto other = identity_of(work_);
  ++other.birth_time_ns;
  run_with_stops(
      {SYS_clone, SYS_clone3},
      [&] {
        sys::UniqueFd parent(::open(directory_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        auto job = RemovalJob::start({.paths = {}, .parent = std::move(parent), .name = "work", .expected = other});
        ASSERT_TRUE(job.ok());
        EXPECT_TRUE(job->ended());
        EXPECT_THAT(errors_of(job->take_result()), ElementsAre("ESTALE work"));
      },
      [](const PendingCall&) { return EAGAIN; });
  EXPECT_TRUE(fs::exists(work_));
}

TEST_F(Remover, AnEmptyDirectoryNeedsNoThread) {
  const sys::UniqueFd parent(::open(directory_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const sys::UniqueFd work(::open(work_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const std::int64_t blocks = blocks_of(work_);
  const auto stats = engine::remove_if_empty(parent.get(), "work", work.get(), identity_of(work_));
  ASSERT_TRUE(stats.has_value());
  EXPECT_TRUE(stats->complete);
  EXPECT_EQ(stats->threads, 0);
  EXPECT_EQ(stats->counts.directories, 1);
  EXPECT_EQ(stats->counts.bytes, blocks);
  EXPECT_FALSE(fs::exists(work_));
}

TEST_F(Remover, WhatIsNotTheEmptyDirectoryIsLeftToTheThread) {
  const sys::UniqueFd parent(::open(directory_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const auto attempt = [&](const sys::DirectoryIdentity& expected) {
    const sys::UniqueFd work(::open(work_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return engine::remove_if_empty(parent.get(), "work", work.get(), expected);
  };
  auto other = identity_of(work_);
  ++other.birth_time_ns;
  EXPECT_FALSE(attempt(other).has_value());
  write_file(work_ + "/file", "");
  EXPECT_FALSE(attempt(identity_of(work_)).has_value());
  fs::remove(work_ + "/file");
  const sys::UniqueFd work(::open(work_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const auto identity = identity_of(work_);
  fs::rename(work_, directory_ / "elsewhere");
  EXPECT_FALSE(engine::remove_if_empty(parent.get(), "work", work.get(), identity).has_value());
  fs::create_directory(work_);
  EXPECT_FALSE(engine::remove_if_empty(parent.get(), "work", work.get(), identity).has_value());
  EXPECT_TRUE(fs::exists(work_));
  EXPECT_TRUE(fs::exists(directory_ / "elsewhere"));
}

TEST_F(Remover, JobThatHangsIsLeftBehind) {
  REQUIRE_CALL_STOPS();
  make_files(work_, 10);
  std::optional<RemovalJob> job;
  std::promise<int> started;
  {
    CallStops stops({SYS_unlinkat}, [&] {
      job.emplace(start().take());
      started.set_value(::dup(job->completion_fd()));
    });
    const sys::UniqueFd never(::eventfd(0, EFD_CLOEXEC));
    const auto hanging = stops.next(never.get());
    ASSERT_TRUE(hanging.has_value());
    // The thread is in the kernel, and nobody answers: this would never return if it waited.
    const sys::UniqueFd ended(started.get_future().get());
    const RemovalStats stats = job->abandon();
    EXPECT_FALSE(stats.complete);
    EXPECT_EQ(stats.counts.files, 0);
    EXPECT_TRUE(engine::removal_threads_exist());
    // Once answered it makes no further call, and ends.
    stops.go_on(*hanging);
    EXPECT_FALSE(stops.next(ended.get()).has_value());
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(work_), {}), 9);
}

TEST_F(Remover, JobWithoutAnOwnerStops) {
  REQUIRE_CALL_STOPS();
  make_files(work_, 10);
  std::promise<int> started;
  CallStops stops({SYS_unlinkat}, [&] {
    auto job = start().take();
    started.set_value(::dup(job.completion_fd()));
  });
  const sys::UniqueFd ended(started.get_future().get());
  while (const auto call = stops.next()) stops.go_on(*call);
  wait_for(ended.get());
  // However far it had come by then: nobody works on it any more.
  EXPECT_TRUE(!fs::exists(work_) || remove_tree(work_).complete);
}

}  // namespace
}  // namespace reapctl::test
