/// The part of Sweeper that counts who is left.
#include "engine/sweeper.hpp"

#include <algorithm>
#include <set>
#include <string>

namespace reapctl::engine {

/// The targets inside of which a run was started.
std::vector<std::size_t> Sweeper::targets_around(std::size_t run) const {
  const auto& enclosing = observer_->run(run).record.enclosing;
  std::vector<std::size_t> around;
  for (std::size_t i = 0; i < targets_.size() && !enclosing.empty(); ++i) {
    const std::string& id = cases_.cases[targets_[i].index].entry.run_id;
    if (std::find(enclosing.begin(), enclosing.end(), id) != enclosing.end()) around.push_back(i);
  }
  return around;
}

/// How many processes of each target are there, whatever was to become of them, how many may be its, and how many are
/// of runs inside of it: for a dry run those only that would stay.
void Sweeper::count_living(const SweepPicture& picture) {
  survey_failure_ = picture.census.failure;
  for (SweepTarget& target : targets_) target.living = target.unjudged = target.inner = 0;
  std::set<std::size_t> unknown;
  for (const auto* list : {&picture.selection.unknown, &picture.selection.released}) {
    for (const core::Unjudged& unjudged : *list) {
      if (list == &picture.selection.unknown) unknown.insert(unjudged.process);
      for (const std::size_t run : unjudged.runs) {
        if (const auto target = observer_->target_of(run)) ++targets_[*target].unjudged;
      }
    }
  }
  std::map<std::size_t, std::vector<std::size_t>> around;  // by the run
  for (std::size_t i = 0; i < picture.owners.size(); ++i) {
    const bool counts = picture.owners[i] && core::is_alive(picture.census.processes[i].stat) && !unknown.contains(i);
    if (!counts) continue;
    const std::size_t run = picture.owners[i]->run;
    const auto target = observer_->target_of(run);
    if (target) ++targets_[*target].living;
    const core::OwningRun& owner = observer_->run(run);
    if (plan_.dry_run && target && owner.verdict == core::Verdict::orphaned) continue;
    const auto [entry, is_new] = around.try_emplace(run);
    if (is_new) entry->second = targets_around(run);
    for (const std::size_t outer : entry->second) {
      ++targets_[outer].inner;
      targets_[outer].inner_run =
          "run " + owner.record.run_id + " inside of it is " + std::string(core::name_of(owner.verdict));
    }
  }
}

/// A released run whose processes live, or may live. They are nobody's victims.
bool Sweeper::is_left_running(const SweepTarget& target) const {
  return cases_.cases[target.index].verdict == core::Verdict::released && target.living + target.unjudged > 0;
}

/// Nothing of it lives but runs inside of it, which need its directory as well: by TMPDIR, or as their own one's place.
bool Sweeper::waits_for_inner(const SweepTarget& target) const {
  const bool is_alive = target.living > 0 && !plan_.dry_run;
  return target.inner > 0 && !is_alive && target.unjudged == 0 && survey_failure_.empty();
}

}  // namespace reapctl::engine
