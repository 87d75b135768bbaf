#pragma once

#include <chrono>

namespace reapctl::core {

/// Every duration and deadline is counted on the monotonic clock (CLOCK_MONOTONIC); the wall clock only dates things.
using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;
using Millis = std::chrono::milliseconds;
using WallTime = std::chrono::system_clock::time_point;

/// In whole milliseconds, the rest cut off.
[[nodiscard]] constexpr Millis to_millis(Clock::duration duration) {
  return std::chrono::duration_cast<Millis>(duration);
}

}  // namespace reapctl::core
