#include "engine/sweep_picture.hpp"

#include "engine/run_cgroup.hpp"

#include <algorithm>
#include <limits>
#include <unordered_map>
#include <utility>

namespace reapctl::engine {

SweepObserver::SweepObserver(const core::SweepPlan& plan, const core::RecordCodec& codec, const proc::ProcFs& proc,
                             const RunCases& cases, const std::vector<SweepTarget>& targets, const RunCases& elsewhere)
    : plan_(plan),
      codec_(codec),
      proc_(proc),
      cases_(cases),
      elsewhere_(elsewhere),
      owning_(cases.owning()),
      self_(this_sweeper(proc)),
      matcher_(plan, proc) {
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
  if (plan_.agreed) chosen_ = *plan_.agreed;
  for (core::OwningRun& run : elsewhere.owning().runs) owning_.runs.push_back(std::move(run));
  for (const core::OwningRun& run : owning_.runs) asked_for_.insert(run.record.run_id);
}

/// The registries were read before, and a run may have begun since inside of one that is swept. It is on record before
/// anybody shows its cookie, so to ask once is enough. One that is dead again is for the next sweep.
void SweepObserver::note_new_runs(const ProcessCensus& census) {
  for (const core::ProcessFacts& process : census.processes) {
    for (const std::string& id : process.cookies) {
      if (!asked_for_.insert(id).second) continue;
      auto run = find_active(proc_, cases_, id, codec_);
      if (!run) run = find_active(proc_, elsewhere_, id, codec_);
      if (run) owning_.runs.push_back(*std::move(run));
    }
  }
}

std::optional<std::size_t> SweepObserver::target_of(std::size_t index) const {
  const auto found = target_of_run_.find(index);
  return found == target_of_run_.end() ? std::nullopt : std::optional(found->second);
}

SweepPicture SweepObserver::look() {
  SweepPicture picture{.census = take_census(proc_, since_ticks_, environments_), .owners = {}, .selection = {}};
  note_new_runs(picture.census);
  note_cgroups(picture.census, owning_.runs);
  note_users(picture.census, owning_.runs, proc_);
  count_as_dead(picture.census, owning_.runs);
  picture.owners = core::attribute(owning_.runs, picture.census.processes, known_);
  core::Matches matches;
  if (plan_.match.any()) matches = match(picture.census);
  note_locks(picture.census, candidates(picture, matches), proc_);
  const auto& processes = picture.census.processes;
  picture.selection = plan_.match.any()
                          ? core::select_matched(owning_.runs, matches, processes, picture.owners, self_)
                          : core::select_of_runs(owning_.runs, targets_, released_, processes, picture.owners, self_);
  set_apart_other_namespaces(picture);
  for (const core::Victim& victim : picture.selection.victims) {
    const core::ProcessId& id = processes[victim.process].stat.id;
    if (plan_.match.any()) {
      chosen_.try_emplace(id, victim.identified_by);
    } else if (victim.run) {
      known_.try_emplace(id, *victim.run);
    }
  }
  find_cgroups_to_kill(picture);
  return picture;
}

/// A cgroup is killed as a whole only if nobody in it is to be spared: not this sweep, not an active run inside.
void SweepObserver::find_cgroups_to_kill(const SweepPicture& picture) {
  cgroups_to_kill_ = targets_;
  std::erase_if(cgroups_to_kill_, [&](std::size_t run) {
    return picture.census.unsure_cgroups.contains(owning_.runs[run].record.run_id);
  });
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
    picture.selection.unknown.push_back({.process = victim.process,
                                         .runs = victim.run ? std::vector{*victim.run} : std::vector<std::size_t>{},
                                         .reason = "in a PID namespace of its own"});
    return true;
  });
}

/// What is to be swept besides runs. A process that was chosen once stays chosen, also when the parent by which it was
/// found is dead.
core::Matches SweepObserver::match(const ProcessCensus& census) {
  core::Matches matches = matcher_.look(census);
  std::erase_if(matches.matched, [&](const auto& match) {
    return plan_.agreed && !plan_.agreed->contains(census.processes[match.first].stat.id);
  });
  for (std::size_t i = 0; i < census.processes.size(); ++i) {
    const core::ProcessId& id = census.processes[i].stat.id;
    if (const auto chosen = chosen_.find(id); chosen != chosen_.end()) matches.matched.emplace(i, chosen->second);
  }
  return matches;
}

/// The processes that are about to be chosen, and all above them: one of these may be the reapctl of a run that is not
/// on record here, and then it protects what is below it.
std::set<std::size_t> SweepObserver::candidates(const SweepPicture& picture, const core::Matches& matches) const {
  const auto& processes = picture.census.processes;
  std::set<std::size_t> found;
  for (std::size_t i = 0; i < processes.size(); ++i) {
    if (picture.owners[i] && targets_.contains(picture.owners[i]->run)) found.insert(i);
  }
  if (matches.matched.empty()) return found;
  std::unordered_map<pid_t, std::vector<std::size_t>> children;
  std::unordered_map<pid_t, std::size_t> index_of_pid;
  for (std::size_t i = 0; i < processes.size(); ++i) {
    children[processes[i].stat.ppid].push_back(i);
    index_of_pid[processes[i].stat.id.pid] = i;
  }
  std::vector<std::size_t> queue;
  for (const auto& [process, criteria] : matches.matched) queue.push_back(process);
  for (std::size_t next = 0; next < queue.size(); ++next) {
    if (!found.insert(queue[next]).second) continue;
    const auto below = children.find(processes[queue[next]].stat.id.pid);
    if (below != children.end()) queue.insert(queue.end(), below->second.begin(), below->second.end());
  }
  for (const auto& [process, criteria] : matches.matched) {
    for (auto above = index_of_pid.find(processes[process].stat.ppid);
         above != index_of_pid.end() && found.insert(above->second).second;) {
      above = index_of_pid.find(processes[above->second].stat.ppid);
    }
  }
  return found;
}

}  // namespace reapctl::engine
