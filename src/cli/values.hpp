#pragma once

#include "cli/options.hpp"
#include "core/time.hpp"

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// What the values of options mean. A wrong one throws BadOption; cli::main catches it, says it in the name of the
/// command, and exits 125.
namespace reapctl::cli {

using Value = GivenOptions::Value;

/// Reapctl was used wrongly.
struct BadOption {
  std::string message;  ///< names the option (or variable), the value and what is allowed
};

[[noreturn]] void reject(const Value& value, std::string_view reason);

[[nodiscard]] std::vector<std::string> split_at_commas(const std::string& text);

/// A decimal number that is not negative.
[[nodiscard]] std::optional<int> number(std::string_view text);

[[nodiscard]] core::Millis duration(const Value& value);

/// A TCP port, from 1 to 65535.
[[nodiscard]] int port(const Value& value);

/// The directory of --registry or REAPCTL_REGISTRY, absolute; empty when none is given.
[[nodiscard]] std::string registry_directory(const GivenOptions& given);

template <class T>
T choice(const Value& value, std::initializer_list<std::pair<const char*, T>> choices) {
  std::string allowed;
  for (const auto& [name, meaning] : choices) {
    if (value.text == name) return meaning;
    allowed.append(allowed.empty() ? "" : ", ").append(name);
  }
  reject(value, "expected one of " + allowed);
}

}  // namespace reapctl::cli
