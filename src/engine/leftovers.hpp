#pragma once

#include "core/record.hpp"
#include "core/sweep_report.hpp"
#include "core/time.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

/// What a dead run leaves on disk, by its record. Everything here is done with the rights of this process, which must
/// be those of the user whose record it is: whatever the record says, it can do no more than he could.
namespace reapctl::engine {

struct LeftoversRemoved {
  std::vector<core::RemovedItem> items;
  std::vector<std::string> remarks;  ///< what was left alone because it is not this run's
  std::string problem;               ///< why something that should have gone is still there; empty: all is gone
};

/// Removes the cgroup, deletes the work directory and the --remove paths, as far as they are provably those of the
/// record: the directories by their name and identity, a path by the identity of the directory it is in. Gives up at
/// `deadline`. Tells `progress` when it takes long, as RunObserver::removal_progress.
[[nodiscard]] LeftoversRemoved remove_leftovers(const core::RunRecord& record, bool same_mounts,
                                                core::TimePoint deadline,
                                                const std::function<void(std::string_view line)>& progress);

struct WorkdirSize {
  bool there = false;  ///< it is the one on record
  std::int64_t files = 0;
  std::int64_t bytes = 0;  ///< allocated
};

/// How much there is to delete. Changes nothing; what cannot be read is not counted.
[[nodiscard]] WorkdirSize measure_workdir(const core::RunRecord& record);

}  // namespace reapctl::engine
