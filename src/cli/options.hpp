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

/// One option: the only place that lists it.
struct OptionRow {
  std::string_view name;  ///< long name without dashes
  char letter;            ///< short name, or 0
  const char* value;      ///< what the value is called in the help; empty for a flag
  const char* group;      ///< heading in the help
  const char* help;
  bool environment;  ///< has the form REAPCTL_OPT_<NAME>: it only tunes
  bool repeatable = false;
  bool value_optional = false;
};

[[nodiscard]] std::span<const OptionRow> run_option_rows();
[[nodiscard]] std::span<const OptionRow> sweep_option_rows();
[[nodiscard]] std::span<const OptionRow> list_option_rows();
[[nodiscard]] std::span<const OptionRow> show_option_rows();
[[nodiscard]] std::span<const OptionRow> stop_option_rows();
[[nodiscard]] std::span<const OptionRow> doctor_option_rows();

/// The options that every command takes.
[[nodiscard]] std::span<const OptionRow> global_option_rows();

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

/// Adds options to a CLI11 command; parsing fills in `given`, which must outlive it. Only those `wanted`: telling
/// CLI11 about all costs a tenth of the start, and only the help needs them.
void add_options(CLI::App& command, std::span<const OptionRow* const> wanted, GivenOptions& given);

}  // namespace reapctl::cli
