#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace reapctl::core {

/// The environment of a command: the caller's, with some variables set and some left out. Refers to the caller's
/// strings, which must outlive it.
class Environment {
 public:
  /// Takes the caller's variables (environ(7)) but those that begin with `dropped_prefix`.
  Environment(const char* const* caller, std::string_view dropped_prefix);
  Environment() = default;

  /// Sets a variable, in place of all of that name.
  void set(std::string_view name, std::string_view value);
  void unset(std::string_view name);

  /// "NAME=value" of each variable, in order, for execve(2) after a terminating null is added.
  [[nodiscard]] std::vector<const char*> entries() const;

 private:
  std::vector<const char*> inherited_;
  std::vector<std::pair<std::string, std::string>> own_;  ///< name, "NAME=value"
};

}  // namespace reapctl::core
