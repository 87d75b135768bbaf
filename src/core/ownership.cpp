#include "core/ownership.hpp"

#include <algorithm>
#include <unordered_map>

namespace reapctl::core {
namespace {

bool encloses(const OwningRun& outer, const OwningRun& inner) {
  const auto& enclosing = inner.record.enclosing;
  return std::find(enclosing.begin(), enclosing.end(), outer.record.run_id) != enclosing.end();
}

bool may_be_swept(const OwningRun& run) {
  return run.verdict == Verdict::orphaned;
}

class Attribution {
 public:
  Attribution(const std::vector<OwningRun>& runs, const std::vector<ProcessFacts>& processes, const KnownOwners& known)
      : runs_(runs), processes_(processes), owners_(processes.size()), state_(processes.size(), State::fresh) {
    for (std::size_t i = 0; i < runs.size(); ++i) {
      const RunRecord& record = runs[i].record;
      runs_of_id_[record.run_id].push_back(i);
      for (const ProcessId& id : recorded_processes(record)) recorded_[id].push_back(i);
    }
    for (const auto& [id, run] : known) recorded_.try_emplace(id, std::vector{run});
    for (std::size_t i = 0; i < processes.size(); ++i) index_of_pid_[processes[i].stat.id.pid] = i;
  }

  std::vector<std::optional<Owner>> run() {
    std::vector<std::size_t> chain;  // not recursion: a chain of parents may be as long as it likes
    for (std::size_t i = 0; i < processes_.size(); ++i) {
      std::optional<std::size_t> at = i;
      while (at && state_[*at] == State::fresh) {
        state_[*at] = State::on_the_way;
        chain.push_back(*at);
        at = parent_of(*at);
      }
      for (; !chain.empty(); chain.pop_back()) settle(chain.back());
    }
    return std::move(owners_);
  }

 private:
  enum class State { fresh, on_the_way, settled };

  [[nodiscard]] std::optional<std::size_t> parent_of(std::size_t process) const {
    const auto found = index_of_pid_.find(processes_[process].stat.ppid);
    return found == index_of_pid_.end() ? std::nullopt : std::optional(found->second);
  }

  void settle(std::size_t process) {
    state_[process] = State::settled;
    std::optional<Owner> owner = direct_owner(processes_[process]);
    // A parent that is still on the way closes a circle, which a recycled pid can do in a picture of moving things.
    const auto parent = parent_of(process);
    if (parent && state_[*parent] == State::settled && owners_[*parent]) {
      const std::size_t run_of_parent = owners_[*parent]->run;
      if (!owner || (owner->run != run_of_parent && encloses(runs_[owner->run], runs_[run_of_parent]))) {
        owner = Owner{.run = run_of_parent};
      }
      owner->descendant = owner->run == run_of_parent;
    }
    owners_[process] = owner;
  }

  /// By what the process itself shows.
  [[nodiscard]] std::optional<Owner> direct_owner(const ProcessFacts& process) const {
    std::optional<Owner> best;
    const auto consider = [&](std::size_t run) {
      if (runs_[run].only_of && runs_[run].only_of != process.uid) return;
      if (!best) {
        best = Owner{.run = run};
      } else if (best->run != run && is_deeper(run, best->run)) {
        best->run = run;
      }
    };
    const auto recorded = recorded_.find(process.stat.id);
    if (recorded != recorded_.end()) std::for_each(recorded->second.begin(), recorded->second.end(), consider);
    for (const auto* ids : {&process.cgroups, &process.cookies}) {
      for (const std::string& id : *ids) {
        const auto found = runs_of_id_.find(id);
        if (found != runs_of_id_.end()) std::for_each(found->second.begin(), found->second.end(), consider);
      }
    }
    if (!best) return best;
    const std::string& id = runs_[best->run].record.run_id;
    best->recorded = recorded != recorded_.end() &&
                     std::find(recorded->second.begin(), recorded->second.end(), best->run) != recorded->second.end();
    best->cgroup = std::find(process.cgroups.begin(), process.cgroups.end(), id) != process.cgroups.end();
    best->cookie = std::find(process.cookies.begin(), process.cookies.end(), id) != process.cookies.end();
    return best;
  }

  [[nodiscard]] bool is_deeper(std::size_t run, std::size_t than) const {
    if (encloses(runs_[than], runs_[run])) return true;
    if (encloses(runs_[run], runs_[than])) return false;
    return may_be_swept(runs_[than]) && !may_be_swept(runs_[run]);
  }

  const std::vector<OwningRun>& runs_;
  const std::vector<ProcessFacts>& processes_;
  // Several runs may claim the same: the command of one is the reapctl of the next, and what a user writes may be
  // forged.
  std::unordered_map<std::string, std::vector<std::size_t>> runs_of_id_;
  std::map<ProcessId, std::vector<std::size_t>> recorded_;
  std::unordered_map<pid_t, std::size_t> index_of_pid_;
  std::vector<std::optional<Owner>> owners_;
  std::vector<State> state_;
};

}  // namespace

std::vector<std::optional<Owner>> attribute(const std::vector<OwningRun>& runs,
                                            const std::vector<ProcessFacts>& processes, const KnownOwners& known) {
  return Attribution(runs, processes, known).run();
}

}  // namespace reapctl::core
