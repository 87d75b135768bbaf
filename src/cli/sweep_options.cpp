#include "cli/options.hpp"

#include <array>

namespace reapctl::cli {
namespace {

constexpr char kWhich[] = "Which runs";
constexpr char kMatch[] = "Instead: processes that reapctl did not start (several are ANDed)";
constexpr char kHow[] = "How";
constexpr char kOutput[] = "Output";

constexpr std::array kRows = {
    OptionRow{"dry-run", 'n', "", kHow, "Say what would be done and why; change nothing at all", false},
    OptionRow{"name", 0, "NAME", kWhich, "Only runs of that name", false},
    OptionRow{"older-than", 0, "DUR", kWhich, "Only runs, or processes, that were started at least so long ago", false},
    OptionRow{"include-active", 0, "", kWhich, "Also stop active runs, each through its own reapctl", false},
    OptionRow{"all-users", 0, "", kWhich, "As root: every user's runs, each with that user's rights only", false},
    OptionRow{"match-env", 0, "KEY=VALUE", kMatch, "With that in the environment (repeatable)", false, true},
    OptionRow{"match-port", 0, "PORT", kMatch, "Listening on that TCP port (repeatable)", false, true},
    OptionRow{"match-cwd", 0, "DIR", kMatch, "With that working directory", false},
    OptionRow{"match-exe", 0, "PATH", kMatch, "Executing that file", false},
    OptionRow{"match-pid", 0, "PID", kMatch, "That process", false},
    OptionRow{"match-user", 0, "USER", kMatch, "Of that user only; with one of the above", false},
    OptionRow{"yes", 'y', "", kMatch, "Do not ask", false},
    OptionRow{"ladder", 0, "SPEC", kHow, "One timeline for all victims, as in run [INT/TERM:5s,KILL]", false},
    OptionRow{"stop-timeout", 0, "DUR", kHow, "At most so long until everything is killed [30s]", false},
    OptionRow{"fail-if-found", 0, "", kOutput, "Exit 3 when there was something", false},
    OptionRow{"format", 0, "FORMAT", kOutput, "text, json or github [text]", false},
    OptionRow{"json", 0, "", kOutput, "Short for --format json", false},
};

}  // namespace

std::span<const OptionRow> sweep_option_rows() {
  return kRows;
}

}  // namespace reapctl::cli
