#include "sys/event_loop.hpp"

#include "support/pipe.hpp"

#include <cerrno>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>

#include <gtest/gtest.h>

namespace reapctl::sys {
namespace {

using test::Pipe;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr EventLoop::Tag kFirst = 1;
constexpr EventLoop::Tag kSecond = 2;

class EventLoopTest : public ::testing::Test {
 protected:
  void watch(const Pipe& pipe, EventLoop::Tag tag) { ASSERT_TRUE(loop_.add(pipe.reader.get(), EPOLLIN, tag)); }
  static void make_ready(const Pipe& pipe) { ASSERT_EQ(::write(pipe.writer.get(), "x", 1), 1); }

  EventLoop loop_ = EventLoop::create().take();
};

TEST_F(EventLoopTest, SaysWhoIsReady) {
  Pipe first;
  Pipe second;
  watch(first, kFirst);
  watch(second, kSecond);
  make_ready(second);
  EXPECT_EQ(loop_.wait(std::nullopt), kSecond);
}

TEST_F(EventLoopTest, SaysItAgainUntilItIsRead) {
  Pipe pipe;
  watch(pipe, kFirst);
  make_ready(pipe);
  EXPECT_EQ(loop_.wait(std::nullopt), kFirst);
  EXPECT_EQ(loop_.wait(std::nullopt), kFirst);
}

TEST_F(EventLoopTest, AnEndIsAnEvent) {
  Pipe pipe;
  watch(pipe, kFirst);
  pipe.writer.reset();
  EXPECT_EQ(loop_.wait(std::nullopt), kFirst);
}

TEST_F(EventLoopTest, WhatWasRemovedIsNotHeardOfAgain) {
  Pipe first;
  Pipe second;
  watch(first, kFirst);
  watch(second, kSecond);
  make_ready(first);
  make_ready(second);
  // One event a wait: whoever handles it may remove the other, ready as it is.
  const auto ready = loop_.wait(std::nullopt);
  const Pipe& other = ready == kFirst ? second : first;
  loop_.remove(other.reader.get());
  for (int i = 0; i < 4; ++i) EXPECT_EQ(loop_.wait(std::nullopt), ready);
  loop_.remove(other.reader.get());  // once more does no harm
}

TEST_F(EventLoopTest, ADeadlineIsNeverEarly) {
  for (const auto wait : {milliseconds(15), milliseconds(30), milliseconds(3)}) {
    const auto deadline = Clock::now() + wait;
    EXPECT_EQ(loop_.wait(deadline), std::nullopt);
    EXPECT_GE(Clock::now(), deadline);
  }
}

TEST_F(EventLoopTest, ADeadlineMayBeMovedEitherWay) {
  Pipe pipe;
  watch(pipe, kFirst);
  make_ready(pipe);
  EXPECT_EQ(loop_.wait(Clock::now() + std::chrono::hours(1)), kFirst);  // armed for an hour
  loop_.remove(pipe.reader.get());
  EXPECT_EQ(loop_.wait(Clock::now() + milliseconds(5)), std::nullopt);
  watch(pipe, kFirst);
  EXPECT_EQ(loop_.wait(Clock::now() + milliseconds(5)), kFirst);  // armed for 5 ms
  loop_.remove(pipe.reader.get());
  const auto later = Clock::now() + milliseconds(40);
  EXPECT_EQ(loop_.wait(later), std::nullopt);
  EXPECT_GE(Clock::now(), later);
}

TEST_F(EventLoopTest, WhatIsReadyGoesBeforeADeadlineThatIsOver) {
  Pipe pipe;
  watch(pipe, kFirst);
  make_ready(pipe);
  EXPECT_EQ(loop_.wait(Clock::now() - milliseconds(1)), kFirst);
}

TEST_F(EventLoopTest, ASourceThatIsAlwaysReadyDoesNotStarveADeadline) {  // fact 20
  Pipe pipe;
  watch(pipe, kFirst);
  make_ready(pipe);
  const auto over = Clock::now() - milliseconds(1);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(loop_.wait(over), kFirst);
    EXPECT_EQ(loop_.wait(over), std::nullopt);
  }
}

TEST_F(EventLoopTest, NorDoesTheDeadlineStarveTheSource) {
  Pipe first;
  Pipe second;
  watch(first, kFirst);
  watch(second, kSecond);
  make_ready(first);
  make_ready(second);
  const auto over = Clock::now() - milliseconds(1);
  int heard[3] = {};
  for (int i = 0; i < 8; ++i) ++heard[loop_.wait(over).value_or(0)];
  EXPECT_EQ(heard[0], 4);
  EXPECT_EQ(heard[kFirst], 2);
  EXPECT_EQ(heard[kSecond], 2);
}

TEST_F(EventLoopTest, WorksWithoutADescriptorForTheTimer) {
  const UniqueFd soon(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
  ASSERT_TRUE(loop_.add(soon.get(), EPOLLIN, kFirst));
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{.rlim_cur = 0, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const auto deadline = Clock::now() + milliseconds(20);
  EXPECT_EQ(loop_.wait(deadline), std::nullopt);
  EXPECT_GE(Clock::now(), deadline);
  const itimerspec in_30_ms{.it_interval = {}, .it_value = {.tv_sec = 0, .tv_nsec = 30'000'000}};
  ASSERT_EQ(::timerfd_settime(soon.get(), 0, &in_30_ms, nullptr), 0);
  // More milliseconds than an int holds: taken modulo 2^32 that would be one.
  EXPECT_EQ(loop_.wait(Clock::now() + milliseconds((std::int64_t{1} << 32) + 1)), kFirst);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
}

TEST_F(EventLoopTest, RefusesWhatCannotBeWatched) {
  const UniqueFd file(::open("/proc/self/stat", O_RDONLY | O_CLOEXEC));
  const UniqueFd regular(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(regular.valid());
  const auto added = loop_.add(regular.get(), EPOLLIN, kFirst);
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().code, EPERM);
  EXPECT_EQ(loop_.add(-1, EPOLLIN, kFirst).error().code, EBADF);
}

TEST_F(EventLoopTest, ItsDescriptorsAreNotForTheCommand) {
  EXPECT_EQ(loop_.timer_fd(), -1) << "made only when a deadline is to be waited for";
  EXPECT_EQ(loop_.wait(Clock::now() + milliseconds(1)), std::nullopt);
  for (const int fd : {loop_.epoll_fd(), loop_.timer_fd()}) EXPECT_EQ(::fcntl(fd, F_GETFD), FD_CLOEXEC);
}

TEST_F(EventLoopTest, ATimeAtLeisureNeedsNoTimer) {
  Pipe pipe;
  watch(pipe, kFirst);
  const auto begin = Clock::now();
  EXPECT_EQ(loop_.wait(std::nullopt, begin + milliseconds(20)), std::nullopt);
  EXPECT_GE(Clock::now() - begin, milliseconds(19));
  EXPECT_LT(loop_.timer_fd(), 0);
  EXPECT_EQ(loop_.wait(std::nullopt, begin), std::nullopt) << "it is over";
  EXPECT_EQ(loop_.wait(begin + std::chrono::hours(1), Clock::now() + milliseconds(5)), std::nullopt);
  make_ready(pipe);
  EXPECT_EQ(loop_.wait(std::nullopt, Clock::now() + std::chrono::hours(1)), kFirst);
}

}  // namespace
}  // namespace reapctl::sys
