#pragma once

#include "sys/result.hpp"
#include "sys/unique_fd.hpp"

#include <chrono>
#include <cstdint>
#include <optional>

namespace reapctl::sys {

/// Waits for one of a few descriptors or for a deadline, and says which. One event at a time, so that whatever
/// handles it may remove any other source without a stale event coming after.
class EventLoop {
 public:
  using Tag = std::uint32_t;
  using TimePoint = std::chrono::steady_clock::time_point;

  [[nodiscard]] static Result<EventLoop> create();

  /// Watches `fd` for `events` (EPOLLIN, …; EPOLLHUP and EPOLLERR always). Level-triggered.
  /// Errors: EPERM for a regular file, ENOMEM, ENOSPC (epoll_ctl(2)).
  [[nodiscard]] Result<void> add(int fd, std::uint32_t events, Tag tag);
  void remove(int fd);

  /// The tag of a ready source, or nullopt when `deadline` has come. No deadline: waits for ever. Once the deadline is
  /// over at most one source goes before it, so that events without end do not hold it up. May return nullopt early.
  /// So it does at `at_leisure`, give or take a millisecond: a time for what can wait, and for which no timer is made.
  [[nodiscard]] std::optional<Tag> wait(std::optional<TimePoint> deadline,
                                        std::optional<TimePoint> at_leisure = std::nullopt);

  /// The descriptors the loop itself holds.
  [[nodiscard]] int epoll_fd() const { return epoll_.get(); }
  [[nodiscard]] int timer_fd() const { return timer_.get(); }

 private:
  EventLoop() = default;
  [[nodiscard]] Result<void> arm(TimePoint deadline);

  UniqueFd epoll_;
  UniqueFd timer_;  ///< made with the first deadline: most runs never have one
  std::optional<TimePoint> armed_;
  bool overtaken_ = false;  ///< the last source that was ready went before a deadline that was over
};

}  // namespace reapctl::sys
