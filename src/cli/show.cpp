#include "cli/commands.hpp"
#include "cli/messages.hpp"
#include "cli/print.hpp"
#include "cli/runs.hpp"
#include "core/exit_status.hpp"
#include "core/sweep_report.hpp"
#include "engine/inventory.hpp"
#include "report/list_report.hpp"
#include "report/process_lines.hpp"

#include <set>
#include <unistd.h>

namespace reapctl::cli {
namespace {

int not_found(const std::string& what) {
  say_error("show: " + what);
  return core::kExitNoSuchRun;
}

int show(const core::RunList& list, std::size_t run, bool json) {
  if (print(json ? report::show_json(list.runs[run], list.at) : report::show_text(list.runs[run]))) return 0;
  say_error("show: cannot write to standard output");
  return core::kExitFailure;
}

int show_owner(const core::RunList& list, pid_t pid, bool json) {
  const auto run = engine::run_of_process(list, pid);
  return run ? show(list, *run, json) : not_found("process " + std::to_string(pid) + " belongs to no run on record");
}

int show_port(const core::RunList& list, const Value& value, bool json) {
  std::set<std::size_t> runs;
  std::string others;
  for (const core::ProcessDetails& process : engine::listeners_on(proc::ProcFs(), port(value))) {
    if (const auto run = engine::run_of_process(list, process.pid)) {
      runs.insert(*run);
    } else {
      others += (others.empty() ? "" : ", ") + std::to_string(process.pid) + " " +
                report::process_label(process, core::ArgsShown::redacted);
    }
  }
  if (runs.size() > 1) return not_found("more than one run listens on port " + value.text + ": reapctl list");
  if (runs.size() == 1) return show(list, *runs.begin(), json);
  if (others.empty()) return not_found("nobody that can be seen listens on port " + value.text);
  return not_found("port " + value.text + " is held by " + others +
                   ", of no run on record: reapctl sweep --match-port " + value.text);
}

int show_from(const core::RunList& list, const Invocation& invocation) {
  const GivenOptions& given = invocation.given;
  const bool json = wants_json(given);
  const auto pid_value = given.last("pid");
  const auto port_value = given.last("port");
  if (port_value) return show_port(list, *port_value, json);
  if (pid_value) {
    const auto pid = number(pid_value->text);
    if (!pid || *pid < 1) reject(*pid_value, "expected the pid of a process");
    return show_owner(list, *pid, json);
  }
  std::vector<RunOnOffer> runs;
  for (const core::ListedRun& run : list.runs) runs.push_back({.id = run.run_id, .own = run.owner == ::geteuid()});
  const auto run = find_run(runs, invocation.operands.front());
  return run ? show(list, *run, json) : not_found("no run \"" + invocation.operands.front() + "\" on record");
}

}  // namespace

int show_command(const Invocation& invocation) {
  restore_caller_signals(invocation);
  const GivenOptions& given = invocation.given;
  if ((given.last("pid") ? 1U : 0U) + (given.last("port") ? 1U : 0U) + invocation.operands.size() != 1) {
    throw BadOption{"expected one of RUN, --pid and --port"};
  }
  const core::RunList list = list_runs(given);
  const int status = show_from(list, invocation);
  if (status != core::kExitNoSuchRun || !list.incomplete) return status;
  // It may be where nobody could look.
  for (const std::string& warning : list.warnings) say("show: " + warning);
  return core::kExitNotGone;
}

}  // namespace reapctl::cli
