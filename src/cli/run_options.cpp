#include "cli/options.hpp"

#include <array>

namespace reapctl::cli {
namespace {

constexpr char kStopping[] = "Stopping";
constexpr char kContainment[] = "Containment";
constexpr char kWorkdir[] = "Private working directory";
constexpr char kCronAndCi[] = "Cron and CI";
constexpr char kReport[] = "Report";

constexpr std::array kRows = {
    OptionRow{"timeout", 't', "DUR", kStopping, "Limit for the run; then the ladder, and exit 124", true},
    OptionRow{"ladder", 0, "SPEC", kStopping,
              "Rungs SIGNAL[:BOUND],…, not of CHLD, CONT, STOP, TSTP, TTIN and TTOU; A/B sends B to a process that "
              "ignores A; KILL comes last by itself "
              "[INT/TERM:5s,KILL]",
              true},
    OptionRow{"signal", 's', "SIG", kStopping, "Short for --ladder SIG:DUR,KILL with the DUR of -k", false},
    OptionRow{"kill-after", 'k', "DUR", kStopping, "Bound of the one graceful rung [5s]", false},
    OptionRow{"scope", 0, "WHO", kStopping, "Who hears the graceful rungs: main, group or tree [tree]", true},
    OptionRow{"stop-timeout", 0, "DUR", kStopping, "Limit from the request to stop to the exit, deletion included",
              true},
    OptionRow{"stop-on", 0, "SIG,...", kStopping,
              "Received signals that start the ladder, or none; the second goes on to the next rung, the third kills "
              "[INT,TERM]",
              true},
    OptionRow{"map", 0, "SIG:SIG", kStopping, "Rewrite a forwarded signal; SIG:0 drops it (repeatable)", false, true},
    OptionRow{"forward-to", 0, "WHO", kStopping, "Who hears all other signals: main or group [main]", true},
    OptionRow{"leftovers", 0, "WHAT", kStopping,
              "Descendants that outlive the command: stop, wait for or leave them [stop]", true},
    OptionRow{"die-with", 0, "WHOM", kStopping, "Run the ladder when parent, a PID or the writer of stdin is gone",
              false},
    OptionRow{"ok-exit", 0, "CODE|SIG,...", kStopping, "What counts as success besides 0 and becomes exit 0", false},
    OptionRow{"contain", 0, "MODE", kContainment,
              "subreaper: by descent; cgroup: also by a cgroup v2 of its own; auto: with one where it can be had, see "
              "reapctl doctor [auto]",
              true},
    OptionRow{"no-guard", 0, "", kContainment, "Without the second reapctl process that survives SIGKILL of the first",
              false},
    OptionRow{"no-new-privs", 0, "", kContainment, "The command can't gain privileges", false},
    OptionRow{"close-fds", 0, "except:N,...", kContainment, "Pass only 0, 1, 2 and those named", false, false, true},
    OptionRow{"workdir-base", 0, "DIR", kWorkdir, "Where to make it [$TMPDIR or /tmp]", true},
    OptionRow{"no-workdir", 0, "", kWorkdir, "Make none", false},
    OptionRow{"workdir-use", 0, "cwd,tmp", kWorkdir, "Start the command in it; point TMPDIR, TMP and TEMP to it", true},
    OptionRow{"keep-workdir", 0, "WHEN", kWorkdir, "never, on-failure or always [never]", true},
    OptionRow{"remove", 0, "PATH", kWorkdir, "A stale socket or pid file to unlink at the end (repeatable)", false,
              true},
    OptionRow{"quiet-on-success", 'q', "", kCronAndCi,
              "Hold output and report back, and show them only if the run fails: a summary, then the output", false},
    OptionRow{"name", 0, "NAME", kCronAndCi, "What to call the run [the name of the command]", false},
    OptionRow{"lock", 0, "NAME", kCronAndCi, "Only one run at a time has the lock NAME, until nothing of it is left",
              false},
    OptionRow{"on-overlap", 0, "WHAT", kCronAndCi,
              "When another run has it: skip (exit 0), wait[=DUR], fail (exit 75), or kill that one by its own ladder "
              "[skip]",
              true},
    OptionRow{"splay", 0, "DUR", kCronAndCi, "First wait a part of DUR, the same each time on this machine for a name",
              true},
    OptionRow{"tail", 0, "SIZE", kCronAndCi,
              "The last SIZE bytes of stdout and of stderr go into the report as well, such as 64k", true},
    OptionRow{"report", 0, "WHERE", kReport, "stderr, stdout, none, fd:N or a file [stderr]", true},
    OptionRow{"report-format", 0, "FORMAT", kReport, "json (one line) or text (for people) [json]", true},
    OptionRow{"report-args", 0, "HOW", kReport, "Command lines redacted, full or none [redacted]", true},
    OptionRow{"events", 0, "WHERE", kReport, "What happens, as it happens, one JSON a line: fd:N or a file", false},
};

}  // namespace

std::span<const OptionRow> run_option_rows() {
  return kRows;
}

}  // namespace reapctl::cli
