#include "cli/commands.hpp"

#include <array>

namespace reapctl::cli {
namespace {

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
    "126 not executable; 127 not found. Durations: 250ms 5s 1.5h 2d. Options that only tune have an environment\n"
    "form, such as REAPCTL_OPT_STOP_TIMEOUT=8s.";

constexpr char kAboutSweep[] =
    "Kills and cleans up what runs left behind whose reapctl is dead; never touches an active run.\n"
    "\n"
    "Examples:\n"
    "  reapctl sweep -n                          what would be done, and why\n"
    "  reapctl sweep --older-than 1h             from cron: orphans of an hour and more\n"
    "  reapctl sweep --match-port 1616           whoever holds a port, whether reapctl started it or not\n"
    "\n"
    "Usage: reapctl sweep [OPTIONS] [RUN...]\n"
    "\n"
    "Exit: 0 nothing is left; 3 found (--fail-if-found); 4 something survived or could not be examined; 125 error.";

constexpr char kAboutSchema[] =
    "Prints the JSON Schema (2020-12) of what reapctl prints.\n"
    "\n"
    "Example:\n"
    "  reapctl schema report > report.schema.json\n"
    "\n"
    "Usage: reapctl schema report|event|record|sweep";

}  // namespace

std::span<const Command> commands() {
  static const std::array kCommands = {
      Command{.name = "run",
              .summary = "Run a command, leave nothing behind, print a report",
              .about = kAboutRun,
              .operands = "",
              .wraps = true,
              .options = run_option_rows(),
              .run = run_command},
      Command{.name = "sweep",
              .summary = "Kill and clean up what earlier runs left behind",
              .about = kAboutSweep,
              .operands = "RUN...",
              .wraps = false,
              .options = sweep_option_rows(),
              .run = sweep_command},
      Command{.name = "schema",
              .summary = "Print the JSON Schema of report, event, record or sweep",
              .about = kAboutSchema,
              .operands = "NAME",
              .wraps = false,
              .options = {},
              .run = schema_command},
  };
  return kCommands;
}

}  // namespace reapctl::cli
