#include "cli/options.hpp"

#include "version.hpp"

#include <array>
#include <cctype>
#include <cstdlib>
#include <utility>

#include <CLI/CLI.hpp>

namespace reapctl::cli {
namespace {

constexpr char kGeneral[] = "General";

constexpr std::array kGlobalRows = {
    OptionRow{"help", 'h', "", kGeneral, "This text", false},
    OptionRow{"version", 'V', "", kGeneral, "Version, revision, static or dynamic", false},
    OptionRow{"verbose", 'v', "", kGeneral, "Say on stderr what happens, as it happens", false},
    OptionRow{"registry", 0, "DIR", kGeneral, "Where runs are on record [/run/reapctl/UID or /tmp/reapctl-UID]", true},
    OptionRow{"color", 0, "WHEN", kGeneral, "auto, always or never; NO_COLOR is heeded [auto]", true},
};

std::string version() {
  return std::string("reapctl ") + kVersion + " (" + kRevision + ", " + kLinkage + ")";
}

std::string environment_name(std::string_view option) {
  if (option == "registry") return "REAPCTL_REGISTRY";  // passed on to nested runs, unlike all others
  std::string name = "REAPCTL_OPT_";
  for (const char letter : option) name += letter == '-' ? '_' : static_cast<char>(std::toupper(letter));
  return name;
}

}  // namespace

std::span<const OptionRow> global_option_rows() {
  return kGlobalRows;
}

void GivenOptions::add_from_environment(const OptionRow& row) {
  const std::string name(row.name);
  if (!row.environment || has(name)) return;
  const std::string variable = environment_name(row.name);
  const char* value = std::getenv(variable.c_str());
  if (value != nullptr && *value != '\0') values_[name].push_back({value, variable});
}

bool GivenOptions::has_on_command_line(const std::string& name) const {
  const auto value = last(name);
  return value && value->source.starts_with("--");
}

std::optional<GivenOptions::Value> GivenOptions::last(const std::string& name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::nullopt : std::optional(found->second.back());
}

std::vector<GivenOptions::Value> GivenOptions::all(const std::string& name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::vector<Value>{} : found->second;
}

void add_options(CLI::App& command, std::span<const OptionRow* const> wanted, GivenOptions& given) {
  for (const OptionRow* row : wanted) {
    const std::string name(row->name);
    if (command.get_option_no_throw("--" + name) != nullptr) continue;  // mentioned twice
    const std::string names = (row->letter != 0 ? std::string("-").append(1, row->letter) + "," : "") + "--" + name;
    CLI::Option* option = nullptr;
    if (row->name == "help") {
      option = command.set_help_flag(names, row->help);
    } else if (row->name == "version") {
      option = command.set_version_flag(names, version, row->help);
    } else if (*row->value == '\0') {
      option = command.add_flag_callback(
          names, [&given, name] { given.add(name, ""); }, row->help);
    } else {
      const auto take = [&given, name](const CLI::results_t& values) {
        for (const std::string& value : values) given.add(name, value);
        return true;
      };
      option = command.add_option(names, take, row->help);
      option->type_name(row->value)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
      option->allow_extra_args(false);  // one value an occurrence, and "[a,b]" is a value like any other
      if (row->value_optional) option->expected(0, 1);
    }
    option->group(row->group);
  }
}

}  // namespace reapctl::cli
