#include "core/format.hpp"

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdio>

namespace reapctl::core {
namespace {

template <class... Args>
std::string print(const char* format, Args... args) {
  std::array<char, 64> buffer{};
  const int length = std::snprintf(buffer.data(), buffer.size(), format, args...);
  return {buffer.data(), std::min(static_cast<std::size_t>(std::max(length, 0)), buffer.size() - 1)};
}

}  // namespace

std::string rfc3339(WallTime time) {
  // Floor, not truncation: a time before 1970 must not get negative milliseconds.
  const auto at = std::chrono::floor<Millis>(time);
  const auto day = std::chrono::floor<std::chrono::days>(at);
  const std::chrono::year_month_day date{day};
  const std::chrono::hh_mm_ss clock{at - day};
  return print("%04d-%02u-%02uT%02d:%02d:%02d.%03dZ", static_cast<int>(date.year()),
               static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
               static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
               static_cast<int>(clock.seconds().count()), static_cast<int>(clock.subseconds().count()));
}

std::optional<WallTime> parse_rfc3339(std::string_view text) {
  int year = 0;
  unsigned month = 0;
  unsigned day = 0;
  int hour = 0;
  int minute = 0;
  int second = 0;
  int millis = 0;
  const std::string copy(text);
  const int read =
      std::sscanf(copy.c_str(), "%4d-%2u-%2uT%2d:%2d:%2d.%3dZ", &year, &month, &day, &hour, &minute, &second, &millis);
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(month), std::chrono::day(day)};
  // The clock counts nanoseconds in 64 bits, which reach from 1677 to 2262.
  if (read != 7 || !date.ok() || year < 1678 || year > 2261) return std::nullopt;
  const WallTime time = std::chrono::sys_days(date) + std::chrono::hours(hour) + std::chrono::minutes(minute) +
                        std::chrono::seconds(second) + Millis(millis);
  // Whatever sscanf was too kind to comes out in another form.
  return rfc3339(time) == text ? std::optional(time) : std::nullopt;
}

std::string human_duration(Millis duration) {
  const std::int64_t ms = std::max<std::int64_t>(duration.count(), 0);
  const std::int64_t seconds = ms / 1000;
  const std::int64_t minutes = seconds / 60;
  const std::int64_t hours = minutes / 60;
  if (ms < 1000) return print("%" PRId64 "ms", ms);
  if (seconds < 60) return print("%" PRId64 ".%" PRId64 "s", seconds, ms % 1000 / 100);
  if (minutes < 60) return print("%" PRId64 "m%02" PRId64 "s", minutes, seconds % 60);
  if (hours < 24) return print("%" PRId64 "h%02" PRId64 "m", hours, minutes % 60);
  return print("%" PRId64 "d%02" PRId64 "h", hours / 24, hours % 24);
}

std::string human_bytes(std::int64_t bytes) {
  constexpr std::array kUnits = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  std::int64_t whole = std::max<std::int64_t>(bytes, 0);
  std::int64_t tenths = 0;
  std::size_t unit = 0;
  for (; whole >= 1000; ++unit) {
    tenths = whole % 1000 / 100;
    whole /= 1000;
  }
  if (unit > 0 && whole < 10) return print("%" PRId64 ".%" PRId64 " %s", whole, tenths, kUnits[unit]);
  return print("%" PRId64 " %s", whole, kUnits[unit]);
}

}  // namespace reapctl::core
