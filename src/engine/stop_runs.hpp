#pragma once

#include "core/time.hpp"
#include "engine/run_cases.hpp"

#include <string>
#include <vector>

namespace reapctl::engine {

struct StopResult {
  bool gone = false;   ///< the run is off the record
  std::string reason;  ///< why not
};

/// Asks each of these active runs to stop, through its own reapctl and so by its own ladder, and waits until all of
/// them are gone or `deadline` has come. A reapctl that is stopped is continued. The results are in the order of
/// `indices`, which say which of `cases`. Only processes of the registry's owner are signalled; what else its records
/// may bring about is bounded by the rights of this process, which must be those of the owner.
[[nodiscard]] std::vector<StopResult> stop_runs(const proc::ProcFs& proc, RunCases& cases,
                                                const std::vector<std::size_t>& indices, const core::RecordCodec& codec,
                                                core::TimePoint deadline);

}  // namespace reapctl::engine
