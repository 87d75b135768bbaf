#include "cli/main.hpp"

#include "cli/commands.hpp"
#include "cli/messages.hpp"
#include "cli/options.hpp"
#include "cli/split.hpp"
#include "cli/values.hpp"
#include "core/exit_status.hpp"
#include "sys/descriptors.hpp"
#include "sys/signals.hpp"
#include "version.hpp"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <sys/auxv.h>
#include <vector>

#include <CLI/CLI.hpp>

namespace reapctl::cli {
namespace {

constexpr char kAbout[] =
    "reapctl runs a command and leaves nothing behind.\n"
    "\n"
    "Examples:\n"
    "  reapctl run -- nginx -g 'daemon off;'     stop it with SIGTERM: all of it ends, then a report\n"
    "  reapctl run -t 10m -- pytest -n 4         a limit for the whole tree, exit 124\n"
    "  reapctl list                              what is on record, active and orphaned\n"
    "  reapctl sweep -n                          what runs left behind whose reapctl was killed\n"
    "  reapctl schema report                     what the report looks like\n"
    "\n"
    "Usage: reapctl COMMAND [OPTIONS], and reapctl COMMAND --help";

/// CLI11's own usage line would know nothing of the wrapped command; ours is in the description.
class Formatter : public CLI::Formatter {
 public:
  Formatter() { column_width(34); }
  std::string make_usage(const CLI::App* /*app*/, std::string /*name*/) const override { return "\n"; }
  /// A value that may be left out can only be given with an equals sign.
  std::string make_option_opts(const CLI::Option* option) const override {
    const bool may_be_left_out = option->get_expected_min() == 0 && option->get_expected_max() > 0;
    return may_be_left_out ? "[=" + option->get_type_name() + "]" : CLI::Formatter::make_option_opts(option);
  }
};

int fail(const std::string& message) {
  say_error(message);
  return core::kExitFailure;
}

std::vector<const OptionRow*> every(std::span<const OptionRow> rows) {
  std::vector<const OptionRow*> all;
  for (const OptionRow& row : rows) all.push_back(&row);
  return all;
}

bool mentions(const SplitArguments& split, std::string_view option) {
  return std::any_of(split.mentioned.begin(), split.mentioned.end(),
                     [&](const OptionRow* row) { return row->name == option; });
}

/// What CLI11 objects to, of which command, and where it says what is allowed. Its name is that of `app`.
std::string complaint(const CLI::App& app, const CLI::ParseError& error) {
  const std::string name = app.get_name();
  const std::size_t command = name.find(' ');
  const std::vector<std::string> unknown = app.remaining();
  return (command == std::string::npos ? "" : name.substr(command + 1) + ": ") +
         (unknown.empty() ? error.what() : "unexpected \"" + unknown.front() + "\"") + "; see " + name + " --help";
}

/// The exit status if there is nothing more to do (help, version, an error), else nullopt.
std::optional<int> parse(CLI::App& app, std::vector<std::string> words) {
  app.formatter(std::make_shared<Formatter>());
  std::reverse(words.begin(), words.end());  // CLI11 takes a vector from its end
  try {
    app.parse(std::move(words));
  } catch (const CLI::Success& wanted) {
    return app.exit(wanted) == 0 && std::fflush(stdout) == 0 ? 0 : core::kExitFailure;
  } catch (const CLI::ParseError& error) {
    return fail(complaint(app, error));
  }
  return std::nullopt;
}

/// `reapctl --help`, `reapctl --version`, and reapctl without a command.
int without_command(const SplitArguments& split) {
  CLI::App app{kAbout, "reapctl"};
  app.set_help_flag();  // the table has it
  GivenOptions given;
  for (const Command& command : commands()) app.add_subcommand(std::string(command.name), command.summary);
  add_options(app, every(global_option_rows()), given);
  if (const auto status = parse(app, split.options)) return *status;
  return fail("no command given: reapctl run [OPTIONS] [--] COMMAND [ARG...]; more with reapctl --help");
}

std::optional<std::string> apply_color(const GivenOptions& given) {
  const auto color = given.last("color");
  if (!color || color->text == "auto") return std::nullopt;
  if (color->text != "always" && color->text != "never") {
    return color->source + " \"" + color->text + "\": expected one of auto, always, never";
  }
  set_color(color->text == "always" ? ColorMode::always : ColorMode::never);
  return std::nullopt;
}

int with_command(const Command& command, const SplitArguments& outer, const sys::CallerSignals& caller_signals) {
  std::vector<OptionRow> rows(command.options.begin(), command.options.end());
  rows.insert(rows.end(), global_option_rows().begin(), global_option_rows().end());
  const std::vector<std::string> words(outer.command.begin() + 1, outer.command.end());
  Invocation invocation{.given = {}, .operands = {}, .caller_signals = caller_signals};
  CLI::App app{command.about, "reapctl " + std::string(command.name)};
  app.set_help_flag();  // the table has it
  std::vector<std::string> option_words = outer.options;
  std::vector<const OptionRow*> wanted = every(rows);
  if (command.wraps) {
    auto inner = split_command(rows, words);
    if (!inner) return fail(std::string(command.name) + ": " + inner.error().message());
    if (!mentions(*inner, "help")) {
      wanted = outer.mentioned;
      wanted.insert(wanted.end(), inner->mentioned.begin(), inner->mentioned.end());
    }
    option_words.insert(option_words.end(), inner->options.begin(), inner->options.end());
    invocation.operands = std::move(inner->command);
  } else {
    option_words.insert(option_words.end(), words.begin(), words.end());
    if (*command.operands != '\0') app.add_option(command.operands, invocation.operands)->group("");  // in the usage
  }
  add_options(app, wanted, invocation.given);
  if (const auto status = parse(app, std::move(option_words))) return *status;
  for (const OptionRow& row : rows) invocation.given.add_from_environment(row);
  if (const auto error = apply_color(invocation.given)) return fail(*error);
  try {
    return command.run(invocation);
  } catch (const BadOption& bad) {
    return fail(std::string(command.name) + ": " + bad.message);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const sys::CallerSignals caller_signals = sys::block_signals();
  sys::occupy_standard_descriptors();
  // With more rights than the caller, all that the caller controls (environment, paths, descriptors) would be a weapon.
  if (::getauxval(AT_SECURE) != 0) {
    return fail("refuses to run with raised privileges (set-uid, set-gid or capabilities)");
  }
  const auto split = split_command(global_option_rows(), {argv + std::min(argc, 1), argv + argc});
  if (!split) return fail(split.error().message());
  if (split->command.empty() || mentions(*split, "help") || mentions(*split, "version")) return without_command(*split);
  const std::string& name = split->command.front();
  const auto known =
      std::find_if(commands().begin(), commands().end(), [&](const Command& command) { return command.name == name; });
  if (known != commands().end()) return with_command(*known, *split, caller_signals);
  std::string names;
  for (const Command& command : commands()) names.append(names.empty() ? "" : ", ").append(command.name);
  return fail("unknown command \"" + name + "\": expected one of " + names + "; to run a program: reapctl run -- " +
              name);
}

}  // namespace reapctl::cli
