#include "core/unrecorded.hpp"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace reapctl::core {
namespace {

bool has(const std::vector<std::string>& ids, const std::string& id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

class Search {
 public:
  Search(const std::vector<OwningRun>& runs, const std::vector<ProcessFacts>& processes,
         const std::vector<std::optional<Owner>>& owners)
      : runs_(runs), processes_(processes), owners_(owners), found_(processes.size()) {
    for (const OwningRun& run : runs) on_record_.insert(run.record.run_id);
    for (std::size_t i = 0; i < processes.size(); ++i) index_of_pid_[processes[i].stat.id.pid] = i;
  }

  std::vector<std::string> run() {
    std::vector<std::size_t> marked;
    for (std::size_t i = 0; i < processes_.size(); ++i) {
      found_[i] = shown_by(i);
      if (!found_[i].empty()) marked.push_back(i);
    }
    if (marked.empty()) return std::move(found_);
    for (const std::size_t i : marked) mark_reapctl_of(i);
    hand_down();
    return std::move(found_);
  }

 private:
  [[nodiscard]] std::optional<std::size_t> parent_of(std::size_t process) const {
    const auto found = index_of_pid_.find(processes_[process].stat.ppid);
    return found == index_of_pid_.end() || found->second == process ? std::nullopt : std::optional(found->second);
  }

  /// Whether the process is of a run inside of `id`: then that one decides.
  [[nodiscard]] bool is_inside(std::size_t process, const std::string& id) const {
    return owners_[process] && has(runs_[owners_[process]->run].record.enclosing, id);
  }

  [[nodiscard]] std::string shown_by(std::size_t i) const {
    const ProcessFacts& process = processes_[i];
    const auto counts = [&](const std::string& id) { return !on_record_.contains(id) && !is_inside(i, id); };
    if (!process.supervises.empty() && counts(process.supervises)) return process.supervises;
    if (owners_[i] && owners_[i]->recorded) return {};  // which is worth more than a word in an environment
    const auto cookie = std::find_if(process.cookies.begin(), process.cookies.end(), counts);
    return cookie == process.cookies.end() ? std::string() : *cookie;
  }

  void mark_reapctl_of(std::size_t process) {
    const std::string id = found_[process];
    if (!has(processes_[process].cookies, id)) return;  // by its lock: it is the reapctl itself
    const auto supervisor = parent_of(process);
    if (!supervisor || has(processes_[*supervisor].cookies, id)) return;
    // Or it was adopted: if init passed for a reapctl, everybody would be in doubt for a stray of anybody's.
    if (processes_[*supervisor].stat.comm.find("reapctl") == std::string::npos) return;
    if (found_[*supervisor].empty()) found_[*supervisor] = id;
    const auto guard = parent_of(*supervisor);
    if (guard && !has(processes_[*guard].cookies, id) && found_[*guard].empty() &&
        processes_[*guard].stat.comm == processes_[*supervisor].stat.comm) {
      found_[*guard] = id;
    }
  }

  void hand_down() {
    std::unordered_map<pid_t, std::vector<std::size_t>> children;
    for (std::size_t i = 0; i < processes_.size(); ++i) children[processes_[i].stat.ppid].push_back(i);
    std::vector<std::size_t> queue;
    for (std::size_t i = 0; i < found_.size(); ++i) {
      if (!found_[i].empty()) queue.push_back(i);
    }
    for (std::size_t next = 0; next < queue.size(); ++next) {
      const std::string id = found_[queue[next]];
      const auto list = children.find(processes_[queue[next]].stat.id.pid);
      if (list == children.end()) continue;
      for (const std::size_t child : list->second) {
        const bool known_better = (owners_[child] && owners_[child]->recorded) || is_inside(child, id);
        if (!found_[child].empty() || known_better) continue;
        found_[child] = id;
        queue.push_back(child);
      }
    }
  }

  const std::vector<OwningRun>& runs_;
  const std::vector<ProcessFacts>& processes_;
  const std::vector<std::optional<Owner>>& owners_;
  std::vector<std::string> found_;
  std::unordered_set<std::string> on_record_;
  std::unordered_map<pid_t, std::size_t> index_of_pid_;
};

}  // namespace

std::vector<std::string> unrecorded_runs(const std::vector<OwningRun>& runs, const std::vector<ProcessFacts>& processes,
                                         const std::vector<std::optional<Owner>>& owners) {
  return Search(runs, processes, owners).run();
}

}  // namespace reapctl::core
