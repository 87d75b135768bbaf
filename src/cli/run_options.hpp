#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
}

namespace reapctl::cli {

/// One option of `run`: the only place that lists it.
struct OptionRow {
  const char* name;   ///< long name without dashes
  char letter;        ///< short name, or 0
  const char* value;  ///< what the value is called in the help; empty for a flag
  const char* group;  ///< heading in the help
  const char* help;
  bool environment;  ///< has the form REAPCTL_OPT_<NAME>: it only tunes
  bool repeatable = false;
  bool value_optional = false;
};

[[nodiscard]] std::span<const OptionRow> run_option_rows();

/// What was given, as text; nothing is interpreted yet.
class GivenOptions {
 public:
  struct Value {
    std::string text;
    std::string source;  ///< "--timeout" or "REAPCTL_OPT_TIMEOUT": for messages
  };

  void add(const std::string& name, std::string text) { values_[name].push_back({std::move(text), "--" + name}); }
  /// Takes the value from the environment if the command line has none.
  void add_from_environment(const OptionRow& row);

  [[nodiscard]] bool has(const std::string& name) const { return values_.contains(name); }
  /// Given in words on the command line, not through the environment.
  [[nodiscard]] bool has_on_command_line(const std::string& name) const;
  /// The last one counts, as in other tools.
  [[nodiscard]] std::optional<Value> last(const std::string& name) const;
  [[nodiscard]] std::vector<Value> all(const std::string& name) const;

 private:
  std::map<std::string, std::vector<Value>> values_;
};

/// Adds the options of `run` to its CLI11 command; parsing fills in `given`, which must outlive it.
void add_run_options(CLI::App& command, GivenOptions& given);

}  // namespace reapctl::cli
