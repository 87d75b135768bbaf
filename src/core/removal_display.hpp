#pragma once

#include "core/time.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace reapctl::core {

/// Decides when somebody at a terminal is told how far a deletion has come, and in which words.
class RemovalDisplay {
 public:
  /// A deletion shorter than this is not worth a word.
  static constexpr Millis kPatience{1000};
  static constexpr Millis kInterval{250};

  explicit RemovalDisplay(TimePoint begun, Millis patience = kPatience) : since_(begun), next_(begun + patience) {}

  /// When the next line is due.
  [[nodiscard]] TimePoint next() const { return next_; }

  /// The line, if one is due: how many files have gone so far, and how many a second since the line before.
  [[nodiscard]] std::optional<std::string> line(TimePoint now, std::int64_t files);

 private:
  TimePoint since_;
  std::int64_t files_ = 0;
  TimePoint next_;
};

}  // namespace reapctl::core
