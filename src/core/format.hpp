#pragma once

#include "core/time.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

/// How reapctl writes times, durations and sizes. Everything is cut off, not rounded: 59.99 s is never shown as 60.0s.
namespace reapctl::core {

/// RFC 3339 in UTC with milliseconds, for programs: "2026-11-21T08:00:00.123Z".
[[nodiscard]] std::string rfc3339(WallTime time);

/// Reads what rfc3339() writes; nullopt for anything else.
[[nodiscard]] std::optional<WallTime> parse_rfc3339(std::string_view text);

/// For people: "250ms", "5.0s", "10m00s", "2h05m", "3d04h". A negative duration is shown as none.
[[nodiscard]] std::string human_duration(Millis duration);

/// For people, in powers of 1000: "512 B", "1.2 GB", "540 MB". A negative size is shown as none.
[[nodiscard]] std::string human_bytes(std::int64_t bytes);

}  // namespace reapctl::core
