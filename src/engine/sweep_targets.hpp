#pragma once

#include "core/sweep_plan.hpp"
#include "core/sweep_report.hpp"
#include "core/time.hpp"
#include "engine/run_cases.hpp"

#include <string>
#include <vector>

namespace reapctl::engine {

/// A run that the sweep is for.
struct SweepTarget {
  std::size_t index = 0;  ///< in RunCases::cases
  int living = 0;         ///< processes of it that were seen alive in the last picture
  int unjudged = 0;       ///< and those that could be its own
  int inner = 0;          ///< and those of runs inside of it that are not swept: what is the run's is theirs as well
  std::string inner_run;  ///< one of these runs, in words
  std::string reason;     ///< why something of it is left; empty when it is clean
  bool clean = false;
};

/// Chooses the runs that a sweep is for, and takes their locks if it is not for show. What is chosen, skipped and why
/// goes into the report.
class TargetChoice {
 public:
  TargetChoice(const core::SweepPlan& plan, const core::RecordCodec& codec, const proc::ProcFs& proc, RunCases& cases,
               core::SweepReport& report, core::TimePoint deadline)
      : plan_(plan), codec_(codec), proc_(proc), cases_(cases), report_(report), deadline_(deadline) {}

  [[nodiscard]] std::vector<SweepTarget> choose();

 private:
  void choose_one(std::size_t index);
  [[nodiscard]] bool is_to_be_swept(const RunCase& run);
  void remove_empty(RunCase& run);
  [[nodiscard]] bool is_wanted(const RunCase& run) const;
  [[nodiscard]] bool is_named(const RunCase& run) const;
  [[nodiscard]] bool contains_us(const RunCase& run) const;
  void stop_active();
  [[nodiscard]] bool await_last_step(RunCase& run);
  bool claim_or_wait(RunCase& run);
  void skip(const RunCase& run, std::string reason);

  const core::SweepPlan& plan_;
  const core::RecordCodec& codec_;
  const proc::ProcFs& proc_;
  RunCases& cases_;
  core::SweepReport& report_;
  core::TimePoint deadline_;
  core::TimePoint unclear_until_;  ///< until then an entry is waited for that nobody can make anything of yet
  std::vector<SweepTarget> targets_;
};

}  // namespace reapctl::engine
