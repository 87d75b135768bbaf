#include "engine/inventory.hpp"

#include "engine/census.hpp"
#include "engine/run_cases.hpp"
#include "proc/describe.hpp"
#include "proc/host.hpp"
#include "proc/listening.hpp"

#include <algorithm>
#include <limits>
#include <unistd.h>
#include <utility>

namespace reapctl::engine {
namespace {

std::optional<core::Millis> age_of(const RunCase& run, core::WallTime now) {
  if (!run.record()) return std::nullopt;
  return core::to_millis(now - run.record()->started_at);
}

std::uint64_t oldest_start(const std::vector<core::OwningRun>& runs) {
  std::uint64_t oldest = std::numeric_limits<std::uint64_t>::max();
  for (const core::OwningRun& run : runs) {
    oldest = std::min(oldest, run.record.supervisor.start_ticks);
    if (run.record.guard) oldest = std::min(oldest, run.record.guard->start_ticks);
  }
  return oldest;
}

void add_processes(const proc::ProcFs& proc, const RunCases& cases, core::RunList& list) {
  const RunCases::Owning owning = cases.owning();
  if (owning.runs.empty()) return;
  EnvironmentMemory unused;  // there is one look only
  ProcessCensus census = take_census(proc, oldest_start(owning.runs), unused);
  note_cgroups(census, owning.runs);
  note_users(census, owning.runs, proc);
  count_as_dead(census, owning.runs);
  if (!census.complete)
    list.warnings.emplace_back("the census is incomplete: processes of others are hidden (hidepid)");
  const auto owners = core::attribute(owning.runs, census.processes, {});
  const proc::ListeningSockets listening(proc);
  const auto since_boot = proc::since_boot();
  for (std::size_t i = 0; i < owners.size(); ++i) {
    const core::ProcessStat& stat = census.processes[i].stat;
    if (!owners[i] || !core::is_alive(stat)) continue;
    list.runs[owning.case_of_run[owners[i]->run]].processes.push_back(
        proc::describe(proc, stat, listening, since_boot));
  }
}

}  // namespace

core::RunList take_inventory(const proc::ProcFs& proc, std::vector<Registry> registries,
                             const core::RecordCodec& codec) {
  const RunCases cases = read_cases(proc, std::move(registries), codec);
  core::RunList list{.at = std::chrono::system_clock::now(), .runs = {}, .warnings = cases.warnings};
  for (const RunCase& run : cases.cases) {
    list.runs.push_back({.run_id = run.entry.run_id,
                         .user = name_of_user(run.entry.owner),
                         .owner = run.entry.owner,
                         .verdict = run.verdict,
                         .record = run.record(),
                         .problem = run.entry.problem,
                         .age = age_of(run, list.at),
                         .processes = {}});
  }
  add_processes(proc, cases, list);
  return list;
}

std::vector<core::ProcessDetails> listeners_on(const proc::ProcFs& proc, int port) {
  const proc::ListeningSockets listening(proc);
  const std::string suffix = ":" + std::to_string(port);
  std::vector<core::ProcessDetails> found;
  for (const core::ProcessStat& process : proc.all().processes) {
    const auto addresses = listening.of(process.id.pid);
    const bool listens = std::any_of(addresses.begin(), addresses.end(),
                                     [&](const std::string& address) { return address.ends_with(suffix); });
    if (listens) found.push_back(proc::describe(proc, process, listening, proc::since_boot()));
  }
  return found;
}

std::optional<std::size_t> run_of_process(const core::RunList& list, pid_t pid) {
  for (std::size_t i = 0; i < list.runs.size(); ++i) {
    for (const core::ProcessDetails& process : list.runs[i].processes) {
      if (process.pid == pid) return i;
    }
  }
  return std::nullopt;
}

}  // namespace reapctl::engine
