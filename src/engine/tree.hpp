#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/ladder.hpp"
#include "core/plan.hpp"
#include "core/process.hpp"
#include "core/report.hpp"
#include "proc/proc_fs.hpp"
#include "sys/result.hpp"

namespace reapctl::engine {

/// Signals one process, and only that one: opens a pidfd, then checks that the pid still means the same process.
/// A pid alone may have been reused. Errors: ESRCH when it is gone, EPERM.
[[nodiscard]] sys::Result<void> signal_process(const proc::ProcFs& proc, const core::ProcessId& id, int signal);

/// The processes of a run: all descendants of this process, which as a child subreaper inherits every orphan among
/// them. Looks, signals and remembers; what to do and when is decided in core.
class Tree {
 public:
  /// `strangers`: children that this process had before the run began (`x & exec reapctl …`); neither they nor their
  /// descendants belong to it.
  Tree(const proc::ProcFs& proc, std::vector<core::ProcessId> strangers);

  /// Who is alive now, parents first.
  std::vector<core::ProcessStat> living();

  /// Signals the living with a rung, parents first, each with the signal that suits it, and continues the stopped.
  /// Only those of `scope`; with `rest`, only those who have not been told this rung. Returns how many were told.
  /// `main` is nullopt once the main command has been reaped.
  int tell(const core::Rung& rung, core::Scope scope, std::optional<pid_t> main, bool rest);

  /// SIGKILL to whoever is alive now.
  core::Census kill(core::TimePoint now);

  /// Of those the last rung was told, how many are alive; and how many are alive at all.
  struct Standing {
    int told_alive = 0;
    int alive = 0;
  };
  Standing standing();

  /// Those alive, with why each could not be killed.
  std::vector<core::Survivor> survivors();

  /// Most processes seen alive in one look; nullopt before the first.
  [[nodiscard]] std::optional<int> peak() const { return peak_; }
  /// How many were signalled in the last rung, killing included.
  [[nodiscard]] int told() const { return static_cast<int>(told_.size()); }

 private:
  void leave_out_strangers(std::vector<core::ProcessStat>& processes);
  [[nodiscard]] bool is_strange_child(pid_t pid) const;

  const proc::ProcFs& proc_;
  std::set<core::ProcessId> strangers_;
  std::set<core::ProcessId> told_;
  std::map<core::ProcessId, core::TimePoint> killed_;  ///< when each got its first SIGKILL
  std::map<core::ProcessId, int> refused_;             ///< errno of a SIGKILL that could not be sent
  std::optional<int> peak_;
};

}  // namespace reapctl::engine
