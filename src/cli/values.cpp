#include "cli/values.hpp"

#include "core/duration.hpp"

#include <charconv>

namespace reapctl::cli {

void reject(const Value& value, std::string_view reason) {
  throw BadOption{value.source + " \"" + value.text + "\": " + std::string(reason)};
}

std::vector<std::string> split_at_commas(const std::string& text) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  while (true) {
    const auto comma = text.find(',', begin);
    parts.push_back(text.substr(begin, comma - begin));
    if (comma == std::string::npos) return parts;
    begin = comma + 1;
  }
}

std::optional<int> number(std::string_view text) {
  int value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.starts_with('-') || failure != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

core::Millis duration(const Value& value) {
  const auto parsed = core::parse_duration(value.text);
  if (!parsed) reject(value, parsed.error().operation);
  return *parsed;
}

}  // namespace reapctl::cli
