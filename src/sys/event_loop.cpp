#include "sys/event_loop.hpp"

#include "sys/descriptors.hpp"

#include <algorithm>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <utility>

namespace reapctl::sys {
namespace {
constexpr EventLoop::Tag kTimerTag = UINT32_MAX;
}  // namespace

Result<EventLoop> EventLoop::create() {
  EventLoop loop;
  loop.epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!loop.epoll_.valid()) return last_error("epoll_create1");
  return loop;
}

Result<void> EventLoop::add(int fd, std::uint32_t events, Tag tag) {
  epoll_event event{};
  event.events = events;
  event.data.u32 = tag;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return last_error("epoll_ctl");
  return {};
}

void EventLoop::remove(int fd) {
  // Fails only for a descriptor that is not watched, and then there is nothing to do.
  (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

Result<void> EventLoop::arm(TimePoint deadline) {
  if (!timer_.valid()) {
    timer_.reset(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
    if (!timer_.valid()) return last_error("timerfd_create");
    if (auto added = add(timer_.get(), EPOLLIN, kTimerTag); !added) return added;
  }
  const auto since_boot = std::chrono::duration_cast<std::chrono::nanoseconds>(deadline.time_since_epoch());
  itimerspec when{};
  when.it_value.tv_sec = since_boot.count() / 1'000'000'000;
  when.it_value.tv_nsec = std::max<long>(since_boot.count() % 1'000'000'000, 1);  // all zero would disarm it
  if (::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &when, nullptr) != 0) return last_error("timerfd_settime");
  armed_ = deadline;
  return {};
}

std::optional<EventLoop::Tag> EventLoop::wait(std::optional<TimePoint> deadline, std::optional<TimePoint> at_leisure) {
  int timeout_ms = -1;
  const bool overdue = deadline && std::chrono::steady_clock::now() >= *deadline;
  if (std::exchange(overtaken_, false) && overdue) return std::nullopt;
  if (overdue) {
    timeout_ms = 0;  // overdue: but what is ready already goes first, it may change what is due
  } else if (deadline && armed_ != deadline && !arm(*deadline)) {
    // Without a timerfd (EMFILE) the millisecond resolution of epoll_wait has to do.
    timeout_ms = poll_timeout_ms(*deadline);
  }
  if (at_leisure && timeout_ms != 0) {
    const int until = poll_timeout_ms(*at_leisure);
    timeout_ms = timeout_ms < 0 ? until : std::min(timeout_ms, until);
  }
  epoll_event event{};
  const int ready = ::epoll_wait(epoll_.get(), &event, 1, timeout_ms);
  if (ready <= 0) return std::nullopt;
  const Tag tag = event.data.u32;
  if (tag != kTimerTag) {
    overtaken_ = overdue;
    return tag;
  }
  std::uint64_t expirations = 0;
  (void)!::read(timer_.get(), &expirations, sizeof expirations);  // only to make it unreadable again
  armed_.reset();
  return std::nullopt;
}

}  // namespace reapctl::sys
