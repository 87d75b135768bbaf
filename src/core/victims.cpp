#include "core/victims.hpp"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

namespace reapctl::core {
namespace {

/// Why a process that is positively identified is not touched all the same; empty if nothing speaks against it.
std::string protection(const ProcessStat& process, const Sweeper& sweeper) {
  if (process.id.pid == sweeper.pid || sweeper.ancestors.contains(process.id.pid)) {
    return "the sweep itself runs below it";
  }
  if (process.pgid == sweeper.pgid) return "in the process group of the sweep itself";
  return {};
}

/// An unreadable process matters only if it could belong to a run: same user, session or group, and not older.
std::optional<std::size_t> possible_run(const std::vector<OwningRun>& runs, const std::set<std::size_t>& targets,
                                        const ProcessFacts& process) {
  for (const std::size_t target : targets) {
    const RunRecord& record = runs[target].record;
    if (process.stat.id.start_ticks < record.supervisor.start_ticks) continue;
    const bool same_user = process.uid == record.uid;
    const bool same_session = record.main && record.main->sid == process.stat.sid && process.stat.sid != 0;
    const bool same_group = record.main && record.main->pgid == process.stat.pgid && process.stat.pgid != 0;
    if (same_user || same_session || same_group) return target;
  }
  return std::nullopt;
}

using RunIds = std::unordered_set<std::string>;

/// A cookie of a run that is not on record and does not enclose the owner: it may be active all the same, on another
/// registry or on none. Empty if there is none.
std::string unrecorded_run(const RunIds& on_record, const RunRecord& owner, const ProcessFacts& process) {
  const auto& enclosing = owner.enclosing;
  for (const std::string& id : process.cookies) {
    if (!on_record.contains(id) && std::find(enclosing.begin(), enclosing.end(), id) == enclosing.end()) return id;
  }
  return {};
}

}  // namespace

bool is_alive(const ProcessStat& process) {
  return (process.state != 'Z' && process.state != 'X') || process.threads > 1;
}

Selection select_of_runs(const std::vector<OwningRun>& runs, const std::set<std::size_t>& targets,
                         const std::vector<ProcessFacts>& processes, const std::vector<std::optional<Owner>>& owners,
                         const Sweeper& sweeper) {
  RunIds on_record;
  for (const OwningRun& run : runs) on_record.insert(run.record.run_id);
  Selection selection;
  for (std::size_t i = 0; i < processes.size(); ++i) {
    const ProcessFacts& process = processes[i];
    if (!is_alive(process.stat)) continue;
    if (!owners[i]) {
      if (process.environ_readable || !protection(process.stat, sweeper).empty()) continue;
      if (const auto run = possible_run(runs, targets, process)) {
        selection.unknown.push_back({.process = i, .run = run, .reason = "its environment cannot be read"});
      }
      continue;
    }
    const Owner& owner = *owners[i];
    if (!targets.contains(owner.run)) continue;
    std::string reason = protection(process.stat, sweeper);
    if (reason.empty() && !owner.recorded) {
      if (const std::string id = unrecorded_run(on_record, runs[owner.run].record, process); !id.empty()) {
        reason = "it belongs to run " + id + " too, which is not on record here and may be active";
      }
    }
    if (!reason.empty()) {
      selection.unknown.push_back({.process = i, .run = owner.run, .reason = std::move(reason)});
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

Selection select_matched(const std::vector<OwningRun>& runs,
                         const std::map<std::size_t, std::vector<std::string>>& matched,
                         const std::vector<ProcessFacts>& processes, const std::vector<std::optional<Owner>>& owners,
                         const Sweeper& sweeper) {
  std::unordered_map<pid_t, std::vector<std::size_t>> children;
  for (std::size_t i = 0; i < processes.size(); ++i) children[processes[i].stat.ppid].push_back(i);
  Selection selection;
  std::unordered_set<std::size_t> seen;
  std::vector<std::size_t> queue;
  const auto judge = [&](std::size_t i, std::vector<std::string> identified_by) {
    const ProcessFacts& process = processes[i];
    if (!seen.insert(i).second) return;
    queue.push_back(i);
    if (!is_alive(process.stat)) return;
    std::string reason = protection(process.stat, sweeper);
    const bool owned = owners[i].has_value();
    if (owned && runs[owners[i]->run].verdict != Verdict::orphaned) {
      const OwningRun& run = runs[owners[i]->run];
      reason = "belongs to the " + std::string(name_of(run.verdict)) + " run " + run.record.run_id;
    }
    const auto run = owned ? std::optional(owners[i]->run) : std::nullopt;
    if (!reason.empty()) {
      selection.unknown.push_back({.process = i, .run = run, .reason = std::move(reason)});
    } else {
      selection.victims.push_back({.process = i, .run = run, .identified_by = std::move(identified_by)});
    }
  };
  for (const auto& [process, criteria] : matched) judge(process, criteria);
  for (std::size_t next = 0; next < queue.size(); ++next) {
    const auto found = children.find(processes[queue[next]].stat.id.pid);
    if (found == children.end()) continue;
    for (const std::size_t child : found->second) judge(child, {"descendant"});
  }
  return selection;
}

}  // namespace reapctl::core
