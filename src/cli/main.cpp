#include "cli/main.hpp"

#include "cli/commands.hpp"
#include "cli/messages.hpp"
#include "cli/run_options.hpp"
#include "cli/split.hpp"
#include "core/exit_status.hpp"
#include "sys/descriptors.hpp"
#include "sys/signals.hpp"
#include "version.hpp"

#include <algorithm>
#include <cstdio>
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
    "  reapctl schema report                     what the report looks like";

constexpr char kAboutRun[] =
    "Runs a command, supervises it and everything it starts, leaves nothing behind, prints a report.\n"
    "\n"
    "Examples:\n"
    "  reapctl run -- ./server                            ^C or SIGTERM stops the whole tree\n"
    "  reapctl run -t 1h --report none -- backup --full   no report, exit 124 after an hour\n"
    "  reapctl run --report-format text -- make test      a summary for people\n"
    "\n"
    "Usage: reapctl run [OPTIONS] [--] COMMAND [ARG...]\n"
    "\n"
    "Exit: the command's own; 128+N if signal N killed it; 124 timeout; 125 reapctl failed or something survived;\n"
    "126 not executable; 127 not found. Durations: 250ms 5s 1.5h 2d. Tuning options can be set in the environment,\n"
    "as REAPCTL_OPT_STOP_TIMEOUT=8s.";

/// CLI11's usage line would call the command's words TEXT; ours is in the description.
class Formatter : public CLI::Formatter {
 public:
  Formatter() { column_width(34); }
  std::string make_usage(const CLI::App* /*app*/, std::string /*name*/) const override { return "\n"; }
};

std::string version() {
  return std::string("reapctl ") + kVersion + " (" + kRevision + ", " + kLinkage + ")";
}

int fail(const std::string& message) {
  say_error(message);
  return core::kExitFailure;
}

class Program {
 public:
  int run(const std::vector<std::string>& arguments, const sys::CallerSignals& caller_signals) {
    define();
    const auto command = find_command(arguments);
    std::vector<std::string> words = arguments;
    std::vector<std::string> wrapped;
    if (command < arguments.size() && arguments[command] == "run") {
      add_run_options(*run_, given_);
      const auto after = arguments.begin() + static_cast<std::ptrdiff_t>(command) + 1;
      auto split = split_command(*run_, {after, arguments.end()});
      if (!split) return fail("run: " + split.error().message());
      words.assign(arguments.begin(), after);
      words.insert(words.end(), split->options.begin(), split->options.end());
      wrapped = std::move(split->command);
    } else if (command < arguments.size() && arguments[command] != "schema") {
      return fail("unknown command \"" + arguments[command] +
                  "\": expected run or schema; to run a program: reapctl run -- " + arguments[command]);
    }
    if (const int status = parse(words); status >= 0) return status;
    if (run_->parsed()) {
      for (const OptionRow& row : run_option_rows()) given_.add_from_environment(row);
      return run_command(given_, std::move(wrapped), {.verbose = verbose_}, caller_signals);
    }
    return schema_command(schema_name_);
  }

 private:
  void define() {
    app_.set_help_flag("-h,--help", "This text");
    app_.set_version_flag("-V,--version", version(), "Version, revision, static or dynamic");
    app_.add_flag("-v,--verbose", verbose_, "Say on stderr what happens, as it happens");
    app_.add_option("--color", color_, "auto, always or never; NO_COLOR is heeded [auto]")
        ->type_name("WHEN")
        ->envname("REAPCTL_OPT_COLOR");
    app_.formatter(std::make_shared<Formatter>());
    app_.require_subcommand(1);
    run_ = app_.add_subcommand("run", "Run a command, leave nothing behind, print a report");
    run_->description(kAboutRun)->fallthrough();
    schema_ = app_.add_subcommand("schema", "Print the JSON Schema of report or event");
    schema_->fallthrough();
    schema_->add_option("name", schema_name_, "report or event")->required()->type_name("NAME");
  }

  /// Where the command stands: the first word that is no option, nor the value of --color.
  static std::size_t find_command(const std::vector<std::string>& arguments) {
    std::size_t at = 0;
    while (at < arguments.size() && arguments[at].starts_with('-')) at += arguments[at] == "--color" ? 2U : 1U;
    return at;
  }

  /// The exit status if there is nothing more to do, else -1.
  int parse(std::vector<std::string> words) {
    std::reverse(words.begin(), words.end());  // CLI11 takes a vector from its end
    try {
      app_.parse(std::move(words));
    } catch (const CLI::Success& wanted) {  // help or version
      return app_.exit(wanted) == 0 && std::fflush(stdout) == 0 ? 0 : core::kExitFailure;
    } catch (const CLI::RequiredError&) {
      return fail("no command given: reapctl run [OPTIONS] [--] COMMAND [ARG...]; more with reapctl --help");
    } catch (const CLI::ParseError& error) {
      return fail(error.what());
    }
    if (color_ == "always") {
      set_color(ColorMode::always);
    } else if (color_ == "never") {
      set_color(ColorMode::never);
    } else if (color_ != "auto") {
      return fail("--color \"" + color_ + "\": expected one of auto, always, never");
    }
    return -1;
  }

  CLI::App app_{kAbout, "reapctl"};
  CLI::App* run_ = nullptr;
  CLI::App* schema_ = nullptr;
  GivenOptions given_;
  bool verbose_ = false;
  std::string color_ = "auto";
  std::string schema_name_;
};

}  // namespace

int main(int argc, char** argv) {
  const sys::CallerSignals caller_signals = sys::block_signals();
  sys::occupy_standard_descriptors();
  // With more rights than the caller, everything he controls (environment, paths, descriptors) would be a weapon.
  if (::getauxval(AT_SECURE) != 0)
    return fail("refuses to run with raised privileges (set-uid, set-gid or capabilities)");
  return Program().run({argv + 1, argv + argc}, caller_signals);
}

}  // namespace reapctl::cli
