#pragma once

#include "core/time.hpp"

#include <chrono>
#include <cstdint>

namespace reapctl::engine {

/// Tells whether the calling thread spends its time waiting (for a disk, for a server) or computing.
class WaitGauge {
 public:
  enum class Finding {
    none,       ///< too early to tell
    computing,  ///< it has used the processor for a while; being kept off it by others counts as nothing
    waiting,    ///< it was off the processor most of the last window, of its own accord
  };
  WaitGauge() { restart(); }
  /// To be asked often. Looks at windows of a few milliseconds.
  [[nodiscard]] Finding sample();
  /// Forgets the window that has begun: something else was waited for in it.
  void restart();

 private:
  struct Reading {
    core::TimePoint at;
    std::chrono::nanoseconds processor{};
    std::int64_t waits = 0;
  };
  [[nodiscard]] static Reading read();

  Reading since_;
  std::chrono::nanoseconds computed_{};  ///< in all windows so far
};

}  // namespace reapctl::engine
