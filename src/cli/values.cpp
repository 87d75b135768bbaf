#include "cli/values.hpp"

#include "core/duration.hpp"

#include <charconv>
#include <filesystem>
#include <system_error>

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

int port(const Value& value) {
  const auto parsed = number(value.text);
  if (!parsed || *parsed < 1 || *parsed > 65535) reject(value, "expected a port from 1 to 65535");
  return *parsed;
}

std::string registry_directory(const GivenOptions& given) {
  const auto value = given.last("registry");
  if (!value) return {};
  std::error_code failure;
  // Made absolute now: reapctl leaves the directory in which it was started, and nested runs start elsewhere.
  const auto path = std::filesystem::absolute(value->text, failure);
  if (value->text.empty() || failure) reject(*value, "expected a directory");
  return path.string();
}

}  // namespace reapctl::cli
