#pragma once

#include "sys/unique_fd.hpp"

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

/// Stops system calls before they happen, by seccomp(2) user notification: what else would be a race can be made to
/// happen exactly then, a kernel can be made to look old, and a server dead.
namespace reapctl::test {

/// A system call that has not happened yet. The caller's memory is ours too.
struct PendingCall {
  std::uint64_t id = 0;
  int number = 0;
  std::array<std::uint64_t, 6> arguments{};

  /// The second argument of the *at calls.
  [[nodiscard]] std::string name() const;
  [[nodiscard]] bool is_rmdir() const;
};

/// Why calls cannot be stopped here; empty when they can (Linux 5.5).
[[nodiscard]] std::string call_stops_obstacle();

/// Runs `work` on a thread of its own. That thread, and those that it starts, stop at each call of one of `numbers`.
class CallStops {
 public:
  CallStops(const std::vector<int>& numbers, std::function<void()> work);
  /// Lets go: whoever still stops gets ENOSYS. Waits for the thread.
  ~CallStops();
  CallStops(const CallStops&) = delete;
  CallStops& operator=(const CallStops&) = delete;

  /// Waits for a call; nullopt once `done` is readable; by default that is when `work` has ended.
  [[nodiscard]] std::optional<PendingCall> next(int done = -1);
  void go_on(const PendingCall& call);
  void fail(const PendingCall& call, int code);

 private:
  sys::UniqueFd listener_;
  sys::UniqueFd ended_;
  std::thread thread_;
};

/// Runs `work` with `decide` asked before each call, on this thread: 0 lets it happen, an errno makes it fail.
void run_with_stops(const std::vector<int>& numbers, std::function<void()> work,
                    const std::function<int(const PendingCall&)>& decide);

}  // namespace reapctl::test

/// Skips the test visibly where calls cannot be stopped.
#define REQUIRE_CALL_STOPS() \
  if (const std::string obstacle = ::reapctl::test::call_stops_obstacle(); !obstacle.empty()) GTEST_SKIP() << obstacle
