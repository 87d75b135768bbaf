#pragma once

#include "core/sweep_plan.hpp"
#include "core/victims.hpp"
#include "engine/census.hpp"
#include "engine/process_matcher.hpp"
#include "engine/run_cases.hpp"
#include "engine/sweep_targets.hpp"

#include <map>
#include <set>
#include <string>
#include <vector>

namespace reapctl::engine {

/// What is there to be killed at one moment.
struct SweepPicture {
  ProcessCensus census;
  std::vector<std::optional<core::Owner>> owners;
  core::Selection selection;
};

/// Looks at all processes and says which are to go. Remembers whose each victim was: so one is known again whose parent
/// has died, or that has overwritten its environment.
class SweepObserver {
 public:
  /// `elsewhere`: runs of other registries, which are not swept but protect what is theirs. All outlive this.
  SweepObserver(const core::SweepPlan& plan, const core::RecordCodec& codec, const proc::ProcFs& proc,
                const RunCases& cases, const std::vector<SweepTarget>& targets, const RunCases& elsewhere);

  [[nodiscard]] SweepPicture look();

  /// Kills all that is in the cgroup of a run to be swept at one blow, whatever it forks meanwhile; but only if in the
  /// last look every process in there was a victim.
  void kill_cgroups() const;
  /// Whether anybody is in these.
  [[nodiscard]] bool cgroups_to_kill_are_populated() const;

  /// Whether looking could bring anything up: no target can have processes, and nothing is to be matched.
  [[nodiscard]] bool nothing_to_see() const { return !plan_.match.any() && targets_.empty() && released_.empty(); }

  /// The ports of --match-port on which a process listens that the last look could not find.
  [[nodiscard]] const std::vector<int>& ports_of_nobody() const { return matcher_.ports_of_nobody(); }

  [[nodiscard]] const core::OwningRun& run(std::size_t index) const { return owning_.runs[index]; }
  /// The target that the run `index` is; nullopt if it is none.
  [[nodiscard]] std::optional<std::size_t> target_of(std::size_t index) const;

 private:
  void note_new_runs(const ProcessCensus& census);
  [[nodiscard]] core::Matches match(const ProcessCensus& census);
  [[nodiscard]] std::set<std::size_t> candidates(const SweepPicture& picture, const core::Matches& matches) const;
  void find_cgroups_to_kill(const SweepPicture& picture);
  void set_apart_other_namespaces(SweepPicture& picture) const;

  const core::SweepPlan& plan_;
  const core::RecordCodec& codec_;
  const proc::ProcFs& proc_;
  const RunCases& cases_;
  const RunCases& elsewhere_;
  RunCases::Owning owning_;
  std::set<std::string> asked_for_;  ///< runs that were on record, or not, when somebody was first seen to be of them
  std::set<std::size_t> targets_;    ///< orphaned runs, as indices in owning_.runs
  std::set<std::size_t> released_;   ///< likewise
  std::map<std::size_t, std::size_t> target_of_run_;
  std::uint64_t since_ticks_ = 0;
  EnvironmentMemory environments_;
  core::Sweeper self_;
  core::KnownOwners known_;
  ProcessMatcher matcher_;
  std::map<core::ProcessId, std::vector<std::string>> chosen_;  ///< by --match-*, in earlier looks, and why
  std::set<std::size_t> cgroups_to_kill_;                       ///< runs, as indices in owning_.runs
};

}  // namespace reapctl::engine
