#include "cli/commands.hpp"
#include "cli/messages.hpp"
#include "cli/print.hpp"
#include "cli/runs.hpp"
#include "core/exit_status.hpp"
#include "core/sweep_report.hpp"
#include "engine/inventory.hpp"
#include "engine/run_cases.hpp"
#include "engine/stop_runs.hpp"
#include "report/process_lines.hpp"
#include "report/record_json.hpp"

#include <algorithm>

namespace reapctl::cli {
namespace {

/// The runs that are meant. An orphan has nobody who could stop it: `complaint` says what can.
std::vector<std::size_t> runs_to_stop(const Invocation& invocation, const engine::RunCases& cases,
                                      std::string& complaint) {
  const auto name = invocation.given.last("name");
  if (name.has_value() == !invocation.operands.empty()) throw BadOption{"expected RUN... or --name"};
  std::vector<std::string> ids;
  for (const engine::RunCase& run : cases.cases) ids.push_back(run.entry.run_id);
  std::vector<std::size_t> wanted;
  for (const std::string& operand : invocation.operands) {
    if (const auto found = find_run(ids, operand)) {
      wanted.push_back(*found);
    } else {
      complaint = "no run \"" + operand + "\" on record";
    }
  }
  for (std::size_t i = 0; name && i < cases.cases.size(); ++i) {
    if (cases.cases[i].record() && cases.cases[i].record()->name == name->text) wanted.push_back(i);
  }
  if (name && wanted.empty()) complaint = "no run of the name \"" + name->text + "\" on record";
  std::erase_if(wanted, [&](std::size_t index) {
    const engine::RunCase& run = cases.cases[index];
    if (run.verdict == core::Verdict::active && run.record()) return false;
    complaint = "run " + run.entry.run_id + " is not active but " + std::string(core::name_of(run.verdict));
    if (run.verdict == core::Verdict::orphaned) complaint += ": reapctl sweep " + run.entry.run_id;
    return true;
  });
  std::sort(wanted.begin(), wanted.end());
  wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
  return wanted;
}

/// Who is still alive of a run that should have gone.
std::string who_is_left(const GivenOptions& given, const std::string& run_id) {
  std::string text;
  const core::RunList list = list_runs(given);
  for (const core::ListedRun& run : list.runs) {
    if (run.run_id != run_id || !run.record) continue;
    for (const core::ProcessDetails& process : run.processes) {
      const bool is_reapctl =
          process.pid == run.record->supervisor.pid || (run.record->guard && process.pid == run.record->guard->pid);
      if (is_reapctl) continue;
      text += "\n  held up by " + std::to_string(process.pid) + " " +
              report::process_label(process, core::ArgsShown::redacted) + ", state " + process.state;
      if (!process.wchan.empty()) text += " in " + process.wchan;
    }
  }
  return text;
}

int stop(const Invocation& invocation) {
  // Without a limit: every ladder is bounded, so every stop ends.
  core::TimePoint deadline = core::TimePoint::max();
  if (const auto value = invocation.given.last("stop-timeout")) deadline = core::Clock::now() + duration(*value);
  std::vector<std::string> warnings;
  const proc::ProcFs proc;
  auto cases = engine::read_cases(proc, registries_to_read(invocation.given, warnings), report::record_codec());
  std::string complaint;
  const auto wanted = runs_to_stop(invocation, cases, complaint);
  const auto results = engine::stop_runs(proc, cases, wanted, report::record_codec(), deadline);
  int status = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (results[i].gone) continue;
    const std::string& id = cases.cases[wanted[i]].entry.run_id;
    say_error("stop: run " + id + " is not gone: " + results[i].reason + who_is_left(invocation.given, id));
    status = core::kExitNotGone;
  }
  if (complaint.empty()) return status;
  say_error("stop: " + complaint);
  return status != 0 ? status : core::kExitNoSuchRun;
}

}  // namespace

int stop_command(const Invocation& invocation) {
  restore_caller_signals(invocation);
  try {
    return stop(invocation);
  } catch (const BadOption& bad) {
    say_error("stop: " + bad.message);
    return core::kExitFailure;
  }
}

}  // namespace reapctl::cli
