#pragma once

#include "core/sweep_plan.hpp"
#include "core/sweep_report.hpp"
#include "engine/leftovers.hpp"
#include "engine/run_cases.hpp"
#include "engine/sweep_picture.hpp"
#include "engine/sweep_targets.hpp"
#include "engine/victim_ladder.hpp"
#include "proc/listening.hpp"
#include "proc/proc_fs.hpp"

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace reapctl::engine {

/// One sweep, downward: registry -> claims -> picture of the processes -> pure selection -> one ladder for all victims
/// -> leftovers -> report. Everything is done with the rights of this process. With plan.dry_run it ends before the
/// first thing that would change anything.
class Sweeper {
 public:
  using Progress = std::function<void(std::string_view line)>;

  /// `progress`: as RunObserver::removal_progress.
  Sweeper(const core::SweepPlan& plan, const core::RecordCodec& codec, const Progress& progress)
      : plan_(plan), codec_(codec), progress_(progress) {}

  /// Sweeps the runs in `registries`. Those in the usual registries, of all users for root, protect what is theirs.
  [[nodiscard]] core::SweepReport run(std::vector<Registry> registries);

 private:
  void note(const SweepPicture& picture);
  void note_spared(const SweepPicture& picture, const core::Unjudged& spared);
  [[nodiscard]] core::SweptProcess describe(const SweepPicture& picture, std::size_t process,
                                            std::optional<std::size_t> run,
                                            const proc::ListeningSockets& listening) const;
  core::SweptProcess& victim_of(const VictimEnd& end);
  void kill();
  void count_living(const SweepPicture& picture);
  void clean_up();
  void clean_up(SweepTarget& target);
  [[nodiscard]] bool is_left_running(const SweepTarget& target) const;
  [[nodiscard]] bool waits_for_inner(const SweepTarget& target) const;
  [[nodiscard]] bool warn(std::string warning);
  [[nodiscard]] std::vector<std::size_t> targets_around(std::size_t run) const;
  void skip(const SweepTarget& target, std::string verdict, std::string reason);
  [[nodiscard]] LeftoverScope scope_of(const RunCase& run) const;
  [[nodiscard]] std::vector<core::RemoveOnRecord> paths_of_others() const;
  void describe_targets();
  void conclude();

  const core::SweepPlan& plan_;
  const core::RecordCodec& codec_;
  const Progress& progress_;
  const proc::ProcFs proc_;
  RunCases cases_;
  std::vector<SweepTarget> targets_;
  std::optional<SweepObserver> observer_;
  core::SweepReport report_;
  core::TimePoint began_at_;
  std::string survey_failure_;                                ///< of the last look: why nobody can tell who is there
  std::map<core::ProcessId, std::size_t> victim_of_process_;  ///< index in the report
  std::map<core::ProcessId, std::size_t> unknown_of_process_;
};

}  // namespace reapctl::engine
