#pragma once

#include <set>
#include <string>
#include <vector>

/// What `reapctl --help` of the binary under test says: the truth that manual and completions are compared with.
namespace reapctl::test {

struct HelpOption {
  std::string names;  ///< "--timeout", "-t": separated by a space, the long one first
  std::string value;  ///< as it is written behind the name: " DUR", "[=N]" if it may be left out; empty for a flag
  [[nodiscard]] bool needs_value() const { return value.starts_with(' '); }
  [[nodiscard]] std::string long_name() const { return names.substr(0, names.find(' ')); }
  auto operator<=>(const HelpOption&) const = default;
};

/// The commands, in the order of the help.
[[nodiscard]] std::vector<std::string> help_commands();

/// The options of a command without those that every command takes; for "" these.
[[nodiscard]] std::set<HelpOption> help_options(const std::string& command);

/// Every word that is an option of the command: "--timeout", "-t", those that every command takes included.
[[nodiscard]] std::set<std::string> help_words(const std::string& command);

}  // namespace reapctl::test
