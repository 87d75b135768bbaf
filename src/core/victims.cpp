#include "core/victims.hpp"

#include "core/unrecorded.hpp"

#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace reapctl::core {
namespace {

/// Why a process that is positively identified is not touched all the same; empty if nothing speaks against it.
std::string protection(const ProcessStat& process, const Sweeper& sweeper) {
  if (process.id.pid == sweeper.pid || sweeper.ancestors.contains(process.id.pid)) {
    return "the sweep itself runs below it";
  }
  if (process.id.pid == 1) return "everybody else would die with it";
  if (process.pgid == sweeper.pgid) return "in the process group of the sweep itself";
  return {};
}

/// Whether a process is in a session that no process of the run can be in. A session is entered only by fork or by
/// beginning it (setsid(2)). So the processes of the run are in the session of its command, or in one that one of them
/// leads; none is in a session that began before the run, or whose leader is not of the run. A leader that shows an
/// environment without the cookie is not of the run, as far as anybody can tell; one that shows none may have lost it.
/// The pid of a leader is not reused while there is the session.
class Sessions {
 public:
  Sessions(const std::vector<ProcessFacts>& processes, const std::vector<std::optional<Owner>>& owners)
      : processes_(processes), owners_(owners) {
    for (std::size_t i = 0; i < processes.size(); ++i) index_of_pid_[processes[i].stat.id.pid] = i;
  }

  [[nodiscard]] bool exclude(const ProcessStat& process, const RunRecord& record) const {
    if (!record.main || process.sid == record.main->sid) return false;
    const auto found = index_of_pid_.find(process.sid);
    if (found == index_of_pid_.end()) return false;
    const ProcessFacts& leader = processes_[found->second];
    if (leader.stat.id.start_ticks < record.supervisor.start_ticks) return true;
    if (owners_[found->second] || !is_alive(leader.stat)) return false;
    const bool has_environment = leader.stat.environment_end > leader.stat.environment_begin;
    return leader.environ_readable ? has_environment : leader.uid && leader.uid != record.uid;
  }

 private:
  const std::vector<ProcessFacts>& processes_;
  const std::vector<std::optional<Owner>>& owners_;
  std::unordered_map<pid_t, std::size_t> index_of_pid_;
};

/// The runs that an unreadable process could belong to: same user, session or group, not older, and not in a session
/// that excludes it. It may belong to any of them, and so it holds back all of them.
std::vector<std::size_t> possible_runs(const std::vector<OwningRun>& runs, const std::set<std::size_t>& targets,
                                       const ProcessFacts& process, const Sessions& sessions) {
  std::vector<std::size_t> possible;
  for (const std::size_t target : targets) {
    const RunRecord& record = runs[target].record;
    if (process.stat.id.start_ticks < record.supervisor.start_ticks) continue;
    const bool same_user = process.uid == record.uid;
    const bool same_session = record.main && record.main->sid == process.stat.sid && process.stat.sid != 0;
    const bool same_group = record.main && record.main->pgid == process.stat.pgid && process.stat.pgid != 0;
    if (!same_user && !same_session && !same_group) continue;
    if (!sessions.exclude(process.stat, record)) possible.push_back(target);
  }
  return possible;
}

std::string doubt_about(const std::string& unrecorded_run) {
  if (unrecorded_run.empty()) return {};
  return "it belongs to run " + unrecorded_run + " too, which is not on record here and may be active";
}

/// Goes from what was matched down to the last descendant, but not below the ancestors of the sweep: else a port that
/// init holds for a service (socket activation) would have every process killed.
class MatchSelection {
 public:
  MatchSelection(const std::vector<OwningRun>& runs, const Matches& matches, const std::vector<ProcessFacts>& processes,
                 const std::vector<std::optional<Owner>>& owners, const Sweeper& sweeper)
      : runs_(runs),
        matches_(matches),
        processes_(processes),
        owners_(owners),
        sweeper_(sweeper),
        unrecorded_(unrecorded_runs(runs, processes, owners)) {}

  Selection run() {
    std::unordered_map<pid_t, std::vector<std::size_t>> children;
    for (std::size_t i = 0; i < processes_.size(); ++i) children[processes_[i].stat.ppid].push_back(i);
    for (const auto& [process, criteria] : matches_.matched) judge(process, criteria);
    for (std::size_t next = 0; next < queue_.size(); ++next) {
      const auto found = children.find(processes_[queue_[next]].stat.id.pid);
      if (found == children.end()) continue;
      for (const std::size_t child : found->second) judge(child, {"descendant"});
    }
    for (const auto& [process, what] : matches_.unreadable) {
      if (seen_.contains(process) || !is_alive(processes_[process].stat) || leave_alone(process)) continue;
      selection_.unknown.push_back({.process = process, .runs = runs_of(process), .reason = what});
    }
    return std::move(selection_);
  }

 private:
  [[nodiscard]] std::vector<std::size_t> runs_of(std::size_t process) const {
    if (!owners_[process]) return {};
    return {owners_[process]->run};
  }

  void judge(std::size_t process, std::vector<std::string> identified_by) {
    if (!seen_.insert(process).second) return;
    if (protection(processes_[process].stat, sweeper_).empty()) queue_.push_back(process);
    if (!is_alive(processes_[process].stat) || leave_alone(process)) return;
    std::optional<std::size_t> run;
    if (owners_[process]) run = owners_[process]->run;
    selection_.victims.push_back({.process = process, .run = run, .identified_by = std::move(identified_by)});
  }

  /// Whether the process is not to be touched; then the selection says why.
  bool leave_alone(std::size_t process) {
    const ProcessStat& stat = processes_[process].stat;
    bool certain = true;
    std::string reason = protection(stat, sweeper_);
    if (owners_[process] && runs_[owners_[process]->run].verdict != Verdict::orphaned) {
      const OwningRun& run = runs_[owners_[process]->run];
      reason = "belongs to the " + std::string(name_of(run.verdict)) + " run " + run.record.run_id;
      certain = run.verdict != Verdict::unknown;
    } else if (reason.empty()) {
      reason = doubt_about(unrecorded_[process]);
      certain = false;
    }
    if (reason.empty()) return false;
    auto& list = certain && matches_.named != stat.id.pid ? selection_.spared : selection_.unknown;
    list.push_back({.process = process, .runs = runs_of(process), .reason = std::move(reason)});
    return true;
  }

  const std::vector<OwningRun>& runs_;
  const Matches& matches_;
  const std::vector<ProcessFacts>& processes_;
  const std::vector<std::optional<Owner>>& owners_;
  const Sweeper& sweeper_;
  std::vector<std::string> unrecorded_;
  Selection selection_;
  std::unordered_set<std::size_t> seen_;
  std::vector<std::size_t> queue_;
};

}  // namespace

Selection select_of_runs(const std::vector<OwningRun>& runs, const std::set<std::size_t>& targets,
                         const std::set<std::size_t>& released, const std::vector<ProcessFacts>& processes,
                         const std::vector<std::optional<Owner>>& owners, const Sweeper& sweeper) {
  const auto unrecorded = unrecorded_runs(runs, processes, owners);
  const Sessions sessions(processes, owners);
  Selection selection;
  for (std::size_t i = 0; i < processes.size(); ++i) {
    const ProcessFacts& process = processes[i];
    if (!is_alive(process.stat)) continue;
    if (!owners[i]) {
      if (process.environ_readable || !protection(process.stat, sweeper).empty()) continue;
      if (auto possible = possible_runs(runs, targets, process, sessions); !possible.empty()) {
        selection.unknown.push_back(
            {.process = i, .runs = std::move(possible), .reason = "its environment cannot be read"});
      }
      if (auto possible = possible_runs(runs, released, process, sessions); !possible.empty()) {
        selection.released.push_back({.process = i, .runs = std::move(possible), .reason = {}});
      }
      continue;
    }
    const Owner& owner = *owners[i];
    if (!targets.contains(owner.run)) continue;
    std::string reason = protection(process.stat, sweeper);
    if (reason.empty()) reason = doubt_about(unrecorded[i]);
    if (!reason.empty()) {
      selection.unknown.push_back({.process = i, .runs = {owner.run}, .reason = std::move(reason)});
      continue;
    }
    Victim victim{.process = i, .run = owner.run, .identified_by = {}};
    if (owner.recorded) victim.identified_by.emplace_back("recorded");
    if (owner.cgroup) victim.identified_by.emplace_back("cgroup");
    if (owner.cookie) victim.identified_by.emplace_back("cookie");
    if (owner.descendant) victim.identified_by.emplace_back("descendant");
    selection.victims.push_back(std::move(victim));
  }
  return selection;
}

Selection select_matched(const std::vector<OwningRun>& runs, const Matches& matches,
                         const std::vector<ProcessFacts>& processes, const std::vector<std::optional<Owner>>& owners,
                         const Sweeper& sweeper) {
  return MatchSelection(runs, matches, processes, owners, sweeper).run();
}

}  // namespace reapctl::core
