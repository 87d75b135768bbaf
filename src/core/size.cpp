#include "core/size.hpp"

#include <charconv>
#include <string>

namespace reapctl::core {
namespace {

/// How far to shift for a unit; -1 for an unknown one.
int unit_shift(std::string_view unit) {
  if (unit.empty()) return 0;
  if (unit.size() > 1) return -1;
  switch (unit.front()) {
    case 'k':
    case 'K': return 10;
    case 'M': return 20;
    case 'G': return 30;
    default: return -1;
  }
}

}  // namespace

sys::Result<std::uint64_t> parse_size(std::string_view text, std::uint64_t limit) {
  std::uint64_t number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  const int shift = unit_shift({end, static_cast<std::size_t>(text.data() + text.size() - end)});
  const bool too_large = failure == std::errc::result_out_of_range || (shift >= 0 && number > (limit >> shift));
  if (failure == std::errc::invalid_argument || shift < 0) {
    return sys::Error{
        .code = 0, .operation = "expected a number with an optional unit k, M or G, such as 64k", .subject = {}};
  }
  if (too_large)
    return sys::Error{.code = 0, .operation = "expected at most " + std::to_string(limit >> 20U) + "M", .subject = {}};
  return number << shift;
}

}  // namespace reapctl::core
