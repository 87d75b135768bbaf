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
/// be those of the record's owner: then the record, whatever it says, brings about nothing that its owner could not do.
namespace reapctl::engine {

struct LeftoversRemoved {
  std::vector<core::RemovedItem> items;
  std::vector<std::string> remarks;  ///< what was left alone because it is not this run's
  std::string problem;               ///< why something that should have gone is still there; empty: all is gone
};

/// What decides about a run's leftovers besides its record.
struct LeftoverScope {
  bool same_mounts = true;  ///< the record is of this mount namespace
  bool same_boot = true;    ///< and of this boot
  bool insist = false;      ///< somebody has named the run: what cannot be seen from here keeps nothing on record
  std::vector<core::RemoveOnRecord> claimed;  ///< --remove paths of runs that stay
};

/// Removes the cgroup, deletes the work directory and the --remove paths, as far as they are provably those of the
/// record: the directories by their name and identity, a path as why_path_stays has it. Gives up at `deadline`. Tells
/// `progress` when it takes long, as RunObserver::removal_progress.
[[nodiscard]] LeftoversRemoved remove_leftovers(const core::RunRecord& record, const LeftoverScope& scope,
                                                core::TimePoint deadline,
                                                const std::function<void(std::string_view line)>& progress);

/// Why a --remove path is to be left alone, in words; empty if it is to go, or is gone. It stays if its directory is
/// another one now, if a run that stays names it too, if it is a socket that somebody has bound, and if it was made
/// after the boot that the run was of.
[[nodiscard]] std::string why_path_stays(const core::RemoveOnRecord& path, const LeftoverScope& scope);

struct WorkdirSize {
  bool there = false;  ///< it is the one on record
  std::int64_t files = 0;
  std::int64_t bytes = 0;  ///< blocks that would become free, as RemovalCounts has them
};

/// How much there is to delete. Changes nothing; what cannot be read, or lies below 64 levels, is not counted.
[[nodiscard]] WorkdirSize measure_workdir(const core::RunRecord& record, bool same_boot);

}  // namespace reapctl::engine
