#include "core/duration.hpp"

#include <charconv>
#include <cmath>
#include <string>

namespace reapctl::core {
namespace {

constexpr double kMaxMillis = 3650.0 * 24 * 3600 * 1000;

sys::Error bad_duration(std::string_view reason) {
  return {.code = 0, .operation = std::string(reason), .subject = {}};
}

/// Milliseconds in one unit; 0 for an unknown one.
double unit_millis(std::string_view unit) {
  if (unit.empty() || unit == "s") return 1000;
  if (unit == "ms") return 1;
  if (unit == "m") return 60.0 * 1000;
  if (unit == "h") return 3600.0 * 1000;
  if (unit == "d") return 24 * 3600.0 * 1000;
  return 0;
}

}  // namespace

sys::Result<Millis> parse_duration(std::string_view text) {
  constexpr std::string_view kAllowed =
      "expected a number with an optional unit ms, s, m, h or d, such as 250ms or 1.5h";
  // from_chars takes "inf", "nan" and "-1"; a duration begins with a digit or a point.
  if (text.empty() || (text.front() != '.' && (text.front() < '0' || text.front() > '9')))
    return bad_duration(kAllowed);
  double number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (failure == std::errc::result_out_of_range) return bad_duration("expected at most 3650d");
  if (failure != std::errc{}) return bad_duration(kAllowed);
  const double unit = unit_millis({end, static_cast<std::size_t>(text.data() + text.size() - end)});
  if (unit == 0) return bad_duration(kAllowed);
  // 2.007 s is a little more than 2007 ms in binary: what is off by no more than that counts as whole.
  constexpr double kRounding = 1 - 1e-12;
  const double millis = std::ceil(number * unit * kRounding);
  if (millis > kMaxMillis) return bad_duration("expected at most 3650d");
  return Millis(static_cast<Millis::rep>(millis));
}

}  // namespace reapctl::core
