#include "cli/commands.hpp"
#include "cli/messages.hpp"
#include "cli/print.hpp"
#include "cli/runs.hpp"
#include "core/exit_status.hpp"
#include "core/sweep_report.hpp"
#include "engine/as_user.hpp"
#include "engine/inventory.hpp"
#include "engine/run_cases.hpp"
#include "engine/stop_runs.hpp"
#include "report/printable.hpp"
#include "report/process_lines.hpp"
#include "report/record_json.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <unistd.h>
#include <utility>

namespace reapctl::cli {
namespace {

/// What a run that is asked to stop may take besides its ladder: for killing, and for deleting its directory.
constexpr core::Millis kTimeToCleanUp = std::chrono::minutes(1);
constexpr core::Millis kLongestWait = std::chrono::hours(24 * 365);
/// For the child that acts for another user, to say what it has seen.
constexpr core::Millis kChildMargin = std::chrono::seconds(5);

/// The runs that are meant. An orphan has no reapctl that could stop it: `complaint` says what can.
std::vector<std::size_t> runs_to_stop(const Invocation& invocation, const engine::RunCases& cases,
                                      std::string& complaint) {
  const auto name = invocation.given.last("name");
  if (name.has_value() == !invocation.operands.empty()) throw BadOption{"expected RUN... or --name"};
  const auto is_own = [](const engine::RunCase& run) { return run.entry.owner == ::geteuid(); };
  std::vector<RunOnOffer> ids;
  for (const engine::RunCase& run : cases.cases) ids.push_back({.id = run.entry.run_id, .own = is_own(run)});
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
  // A name is anybody's to choose: our own runs come first, as with ids.
  if (name && std::any_of(wanted.begin(), wanted.end(), [&](std::size_t i) { return is_own(cases.cases[i]); })) {
    std::erase_if(wanted, [&](std::size_t i) { return !is_own(cases.cases[i]); });
  }
  if (name && wanted.empty()) complaint = "no run of the name \"" + name->text + "\" on record";
  std::erase_if(wanted, [&](std::size_t index) {
    const engine::RunCase& run = cases.cases[index];
    if (run.verdict == core::Verdict::active && run.record()) return false;
    if (run.verdict == core::Verdict::active) {
      complaint = "run " + run.entry.run_id + " is just starting, and cannot be asked yet: try again";
      return true;
    }
    complaint = "run " + run.entry.run_id + " is not active but " + std::string(core::name_of(run.verdict));
    if (!run.entry.problem.empty())
      complaint += ", for its record cannot be read: " + report::printable(run.entry.problem);
    if (run.verdict == core::Verdict::orphaned) complaint += ": reapctl sweep " + run.entry.run_id;
    return true;
  });
  std::sort(wanted.begin(), wanted.end());
  wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
  return wanted;
}

/// The processes still alive of a run that should have gone, a line each.
std::vector<std::string> who_is_left(const GivenOptions& given, const std::string& run_id) {
  std::vector<std::string> lines;
  const core::RunList list = list_runs(given);
  for (const core::ListedRun& run : list.runs) {
    if (run.run_id != run_id || !run.record) continue;
    for (const core::ProcessDetails& process : run.processes) {
      const bool is_reapctl =
          process.pid == run.record->supervisor.pid || (run.record->guard && process.pid == run.record->guard->pid);
      // Its reapctl waits for the others, unless it cannot run at all.
      const bool waits = process.state != 'T' && process.state != 'D';
      if (is_reapctl && waits && run.processes.size() > 1) continue;
      lines.push_back("held up by " + std::to_string(process.pid) + " " +
                      report::process_label(process, core::ArgsShown::redacted) + ", state " + process.state);
      if (!process.wchan.empty()) lines.back() += " in " + process.wchan;
    }
  }
  return lines;
}

/// When to wait no longer: each ladder is bounded, but the reapctl that runs it may be frozen, or its disk be gone.
core::TimePoint give_up_at(const GivenOptions& given, const engine::RunCases& cases,
                           const std::vector<std::size_t>& wanted) {
  if (const auto value = given.last("stop-timeout")) return core::Clock::now() + duration(*value);
  core::Millis longest{};
  for (const std::size_t index : wanted) {
    core::Millis rungs{};
    for (const core::Rung& rung : cases.cases[index].record()->ladder)
      rungs = std::min(rungs + rung.bound, kLongestWait);
    longest = std::max(longest, rungs);
  }
  return core::Clock::now() + longest + kTimeToCleanUp;
}

/// One user's runs on record.
struct RunsOfUser {
  std::set<std::string> registries;    ///< paths
  std::vector<std::size_t> positions;  ///< in the list of the wanted
};

/// In a child that has become the user. Answers a line for each of `paths`: why that run is not gone, or nothing.
std::string stop_as_user(const RunsOfUser& runs, const std::vector<std::string>& paths, core::TimePoint deadline) {
  std::vector<engine::Registry> registries;
  std::vector<std::string> refused;
  for (const std::string& path : runs.registries) {
    auto opened = engine::Registry::open_existing({.chosen = path}, refused);
    if (opened) std::move(opened->begin(), opened->end(), std::back_inserter(registries));
  }
  const proc::ProcFs proc;
  auto cases = engine::read_cases(proc, std::move(registries), report::record_codec());
  std::vector<std::size_t> wanted;
  std::map<std::string, std::size_t> place;
  for (std::size_t i = 0; i < cases.cases.size(); ++i) {
    const engine::RunCase& run = cases.cases[i];
    if (run.verdict != core::Verdict::active || !run.record()) continue;
    if (std::find(paths.begin(), paths.end(), run.entry.path) == paths.end()) continue;
    place[run.entry.path] = wanted.size();
    wanted.push_back(i);
  }
  const auto results = engine::stop_runs(proc, cases, wanted, report::record_codec(), deadline);
  std::string answer;
  for (const std::string& path : paths) {
    const auto found = place.find(path);  // one that is not active any more has gone meanwhile
    if (found != place.end() && !results[found->second].gone)
      answer += report::printable(results[found->second].reason);
    answer += '\n';
  }
  return answer;
}

/// Root believes no record of another user's: what is done about it is done with the rights of that user, so that the
/// kernel refuses a signal to a stranger. The results are in the order of `wanted`.
std::vector<engine::StopResult> stop_with_the_rights_of_each(const proc::ProcFs& proc, engine::RunCases& cases,
                                                             const std::vector<std::size_t>& wanted,
                                                             core::TimePoint deadline) {
  std::vector<engine::StopResult> results(wanted.size());
  std::vector<std::size_t> own;
  std::vector<std::size_t> own_positions;
  std::map<uid_t, RunsOfUser> others;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const engine::RunCase& run = cases.cases[wanted[i]];
    if (run.entry.owner == ::geteuid()) {
      own.push_back(wanted[i]);
      own_positions.push_back(i);
    } else {
      others[run.entry.owner].registries.insert(cases.registries[run.registry].path());
      others[run.entry.owner].positions.push_back(i);
    }
  }
  std::vector<engine::UserTask> tasks;
  for (const auto& [uid, runs] : others) {
    std::vector<std::string> paths;
    for (const std::size_t position : runs.positions) paths.push_back(cases.cases[wanted[position]].entry.path);
    tasks.push_back(
        {.uid = uid, .work = [&runs = runs, paths, deadline] { return stop_as_user(runs, paths, deadline); }});
  }
  const auto answers =
      engine::do_as_users(tasks, std::chrono::ceil<core::Millis>(deadline - core::Clock::now()) + kChildMargin);
  auto answer = answers.begin();
  for (const auto& [uid, runs] : others) {
    std::istringstream lines(*answer ? **answer : "");
    for (const std::size_t position : runs.positions) {
      std::string& reason = results[position].reason;
      if (!*answer) {
        reason = answer->error().message();
      } else if (!std::getline(lines, reason)) {
        reason = "user " + std::to_string(uid) + " has not let it be said";
      }
      results[position].gone = reason.empty();
    }
    ++answer;
  }
  const auto own_results = engine::stop_runs(proc, cases, own, report::record_codec(), deadline);
  for (std::size_t i = 0; i < own.size(); ++i) results[own_positions[i]] = own_results[i];
  return results;
}

}  // namespace

int stop_command(const Invocation& invocation) {
  restore_caller_signals(invocation);
  Refusals refusals;
  const proc::ProcFs proc;
  auto cases = engine::read_cases(proc, registries_to_read(invocation.given, refusals), report::record_codec());
  for (const std::string& refusal : refusals.own) say("stop: " + refusal);
  std::string complaint;
  const auto wanted = runs_to_stop(invocation, cases, complaint);
  const auto deadline = give_up_at(invocation.given, cases, wanted);
  const auto results = stop_with_the_rights_of_each(proc, cases, wanted, deadline);
  int status = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (results[i].gone) continue;
    const std::string& id = cases.cases[wanted[i]].entry.run_id;
    say_error("stop: run " + id + " is not gone: " + results[i].reason);
    for (const std::string& line : who_is_left(invocation.given, id)) say_as_it_is("stop: " + line);
    status = core::kExitNotGone;
  }
  if (complaint.empty()) return status;
  say_error("stop: " + complaint);
  if (!refusals.own.empty()) return core::kExitNotGone;  // it may be where nobody could look
  return status != 0 ? status : core::kExitNoSuchRun;
}

}  // namespace reapctl::cli
