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
    "  reapctl run -q --lock backup -- backup             from cron: one at a time, and a word only if it fails\n"
    "\n"
    "Usage: reapctl run [OPTIONS] [--] COMMAND [ARG...]\n"
    "\n"
    "Exit: the command's own; 128+N if signal N killed it; 75 another run has the lock; 124 timeout; 125 reapctl "
    "failed\n"
    "or something survived; 126 not executable; 127 not found. Durations: 250ms 5s 1.5h 2d; sizes: 64k 10M. Options\n"
    "that only tune have an environment form, such as REAPCTL_OPT_STOP_TIMEOUT=8s.";

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

constexpr char kAboutList[] =
    "Lists the runs on record, active and orphaned, and touches none.\n"
    "\n"
    "Examples:\n"
    "  reapctl list\n"
    "  reapctl list --json | jq -r '.runs[] | select(.verdict == \"orphaned\") | .run_id'\n"
    "\n"
    "Usage: reapctl list [OPTIONS]";

constexpr char kAboutShow[] =
    "Shows one run: where it came from, its processes as they are now, its record.\n"
    "\n"
    "Examples:\n"
    "  reapctl show 9A0C         by id, or the beginning of one\n"
    "  reapctl show --port 1616  whose is it?\n"
    "\n"
    "Usage: reapctl show RUN|--pid PID|--port PORT\n"
    "\n"
    "Exit: 0; 1 no such run; 125 error.";

constexpr char kAboutStop[] =
    "Stops active runs, each through its own reapctl and by its own ladder, and waits until they are gone.\n"
    "\n"
    "Examples:\n"
    "  reapctl stop 9A0C\n"
    "  reapctl stop --name web --stop-timeout 30s\n"
    "\n"
    "Usage: reapctl stop RUN...|--name NAME [--stop-timeout DUR]\n"
    "\n"
    "Exit: 0 gone; 4 not gone, and who held it up; 1 no such active run; 125 error.";

constexpr char kAboutDoctor[] =
    "Says what containment works here for this user, what --contain auto picks and why, and what the kernel offers.\n"
    "It tries what a run does, and leaves nothing behind.\n"
    "\n"
    "Examples:\n"
    "  reapctl doctor\n"
    "  reapctl doctor --json | jq -r .auto.mode\n"
    "\n"
    "Usage: reapctl doctor [OPTIONS]";

constexpr char kAboutSchema[] =
    "Prints the JSON Schema (2020-12) of what reapctl prints.\n"
    "\n"
    "Example:\n"
    "  reapctl schema report > report.schema.json\n"
    "\n"
    "Usage: reapctl schema report|event|record|sweep|list|show|doctor";

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
      Command{.name = "list",
              .summary = "List the runs on record, active and orphaned",
              .about = kAboutList,
              .operands = "",
              .wraps = false,
              .options = list_option_rows(),
              .run = list_command},
      Command{.name = "show",
              .summary = "Show one run: origin, processes, record",
              .about = kAboutShow,
              .operands = "RUN",
              .wraps = false,
              .options = show_option_rows(),
              .run = show_command},
      Command{.name = "stop",
              .summary = "Stop active runs gracefully and wait until they are gone",
              .about = kAboutStop,
              .operands = "RUN...",
              .wraps = false,
              .options = stop_option_rows(),
              .run = stop_command},
      Command{.name = "doctor",
              .summary = "Say what containment works here, and what --contain auto picks",
              .about = kAboutDoctor,
              .operands = "",
              .wraps = false,
              .options = doctor_option_rows(),
              .run = doctor_command},
      Command{.name = "schema",
              .summary = "Print the JSON Schema of report, event, record, sweep, list, show or doctor",
              .about = kAboutSchema,
              .operands = "NAME",
              .wraps = false,
              .options = {},
              .run = schema_command},
  };
  return kCommands;
}

}  // namespace reapctl::cli
