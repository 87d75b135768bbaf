#include "engine/sweep_picture.hpp"

#include "engine/run_cgroup.hpp"
#include "proc/host.hpp"
#include "proc/listening.hpp"

#include <algorithm>
#include <limits>
#include <unistd.h>

namespace reapctl::engine {
namespace {

core::Millis age_of(const core::ProcessStat& process) {
  const auto ticks = static_cast<std::int64_t>(process.id.start_ticks);
  return std::chrono::duration_cast<core::Millis>(proc::since_boot()) -
         core::Millis(ticks * 1000 / ::sysconf(_SC_CLK_TCK));
}

}  // namespace

SweepObserver::SweepObserver(const core::SweepPlan& plan, const proc::ProcFs& proc, const RunCases& cases,
                             const std::vector<SweepTarget>& targets)
    : plan_(plan), proc_(proc), owning_(cases.owning()), self_(this_sweeper(proc)) {
  std::map<std::size_t, std::size_t> target_of_case;
  for (std::size_t i = 0; i < targets.size(); ++i) target_of_case[targets[i].index] = i;
  since_ticks_ = std::numeric_limits<std::uint64_t>::max();
  for (std::size_t run = 0; run < owning_.runs.size(); ++run) {
    const auto target = target_of_case.find(owning_.case_of_run[run]);
    if (target == target_of_case.end()) continue;
    target_of_run_[run] = target->second;
    (owning_.runs[run].verdict == core::Verdict::released ? released_ : targets_).insert(run);
    since_ticks_ = std::min(since_ticks_, owning_.runs[run].record.supervisor.start_ticks);
  }
  if (plan_.match.any()) since_ticks_ = 0;
}

std::optional<std::size_t> SweepObserver::target_of(std::size_t index) const {
  const auto found = target_of_run_.find(index);
  return found == target_of_run_.end() ? std::nullopt : std::optional(found->second);
}

SweepPicture SweepObserver::look() {
  SweepPicture picture{.census = take_census(proc_, since_ticks_), .owners = {}, .selection = {}};
  note_cgroups(picture.census, owning_.runs);
  picture.owners = core::attribute(owning_.runs, picture.census.processes, known_);
  if (plan_.match.any()) {
    picture.selection =
        core::select_matched(owning_.runs, match(picture.census), picture.census.processes, picture.owners, self_);
  } else {
    picture.selection = core::select_of_runs(owning_.runs, targets_, picture.census.processes, picture.owners, self_);
  }
  set_apart_other_namespaces(picture);
  for (const core::Victim& victim : picture.selection.victims) {
    if (victim.run) known_.try_emplace(picture.census.processes[victim.process].stat.id, *victim.run);
  }
  find_cgroups_to_kill(picture);
  return picture;
}

/// A cgroup is killed as a whole only if nobody in it is to be spared: not this sweep, not an active run inside.
void SweepObserver::find_cgroups_to_kill(const SweepPicture& picture) {
  cgroups_to_kill_ = targets_;
  std::set<std::size_t> victims;
  for (const core::Victim& victim : picture.selection.victims) victims.insert(victim.process);
  for (std::size_t i = 0; i < picture.census.processes.size(); ++i) {
    const core::ProcessFacts& process = picture.census.processes[i];
    if (process.cgroups.empty() || victims.contains(i) || !core::is_alive(process.stat)) continue;
    std::erase_if(cgroups_to_kill_, [&](std::size_t run) {
      const auto& ids = process.cgroups;
      return std::find(ids.begin(), ids.end(), owning_.runs[run].record.run_id) != ids.end();
    });
  }
}

bool SweepObserver::cgroups_to_kill_are_populated() const {
  return std::any_of(cgroups_to_kill_.begin(), cgroups_to_kill_.end(), [this](std::size_t run) {
    const auto cgroup = RunCgroup::open_recorded(owning_.runs[run].record);
    return cgroup && cgroup->is_populated();
  });
}

void SweepObserver::kill_cgroups() const {
  for (const std::size_t run : cgroups_to_kill_) {
    if (const auto cgroup = RunCgroup::open_recorded(owning_.runs[run].record)) cgroup->kill();
  }
}

/// The processes of a container inside of the run have an init of their own, and are for it to stop.
void SweepObserver::set_apart_other_namespaces(SweepPicture& picture) const {
  std::erase_if(picture.selection.victims, [&](const core::Victim& victim) {
    const auto status = proc_.status(picture.census.processes[victim.process].stat.id.pid);
    if (!status || status->pid_namespaces <= 1) return false;
    picture.selection.unknown.push_back(
        {.process = victim.process, .run = victim.run, .reason = "in a PID namespace of its own"});
    return true;
  });
}

std::map<std::size_t, std::vector<std::string>> SweepObserver::match(const ProcessCensus& census) const {
  std::set<pid_t> listeners;
  if (!plan_.match.ports.empty()) {
    const proc::ListeningSockets listening(proc_);
    for (const core::ProcessFacts& process : census.processes) {
      const auto addresses = listening.of(process.stat.id.pid);
      const bool all = std::all_of(plan_.match.ports.begin(), plan_.match.ports.end(), [&](int port) {
        const std::string suffix = ":" + std::to_string(port);
        return std::any_of(addresses.begin(), addresses.end(),
                           [&](const std::string& address) { return address.ends_with(suffix); });
      });
      if (all) listeners.insert(process.stat.id.pid);
    }
  }
  std::map<std::size_t, std::vector<std::string>> matched;
  for (std::size_t i = 0; i < census.processes.size(); ++i) {
    auto criteria = criteria_met(census.processes[i], listeners);
    if (!criteria.empty()) matched[i] = std::move(criteria);
  }
  return matched;
}

/// All of the criteria, or none.
std::vector<std::string> SweepObserver::criteria_met(const core::ProcessFacts& process,
                                                     const std::set<pid_t>& listeners) const {
  const core::MatchCriteria& wanted = plan_.match;
  const pid_t pid = process.stat.id.pid;
  const std::string directory = std::to_string(pid) + "/";
  std::vector<std::string> met;
  const auto check = [&](bool asked, const char* name, bool holds) {
    if (asked && holds) met.emplace_back(name);
    return !asked || holds;
  };
  if (!core::is_alive(process.stat) || proc_.cmdline(pid).empty()) return {};  // zombies and kernel threads
  const bool all =
      check(wanted.pid.has_value(), "match-pid", wanted.pid == pid) &&
      check(!wanted.ports.empty(), "match-port", listeners.contains(pid)) &&
      check(wanted.cwd.has_value(), "match-cwd", wanted.cwd && proc_.link(directory + "cwd") == *wanted.cwd) &&
      check(wanted.executable.has_value(), "match-exe",
            wanted.executable && proc_.link(directory + "exe") == *wanted.executable) &&
      check(!wanted.environment.empty(), "match-env",
            std::all_of(wanted.environment.begin(), wanted.environment.end(), [&](const std::string& assignment) {
              return proc_.environ_has(pid, assignment) == proc::EnvironMatch::yes;
            }));
  if (!all) return {};
  if (plan_.older_than && age_of(process.stat) < *plan_.older_than) return {};
  if (wanted.uid) {
    const auto status = proc_.status(pid);
    if (!status || status->effective_uid != *wanted.uid) return {};
  }
  return met;
}

}  // namespace reapctl::engine
