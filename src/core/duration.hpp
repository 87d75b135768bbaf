#pragma once

#include "core/time.hpp"
#include "sys/result.hpp"

#include <string_view>

namespace reapctl::core {

/// Reads "250ms", "5s", "1.5h", "2d"; a bare number is seconds. Rounds up to a whole millisecond, so that only a
/// zero is zero. Errors: anything else, a sign, more than ten years; the Error's text says what is allowed.
[[nodiscard]] sys::Result<Millis> parse_duration(std::string_view text);

}  // namespace reapctl::core
