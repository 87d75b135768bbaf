#pragma once

#include "core/record.hpp"

#include <string_view>

namespace reapctl::core {

enum class LockState { held, free, missing };

/// What can be seen of a run from outside, without touching anything.
struct RunObservation {
  bool boot_known = false;  ///< both of them: here and in the record
  bool same_boot = false;
  bool same_pid_namespace = false;
  LockState lock = LockState::missing;
  bool guard_alive = false;       ///< the recorded identity, and neither a zombie nor doomed (core::ProcessStat)
  bool supervisor_alive = false;  ///< likewise
};

enum class Verdict {
  active,    ///< one of its reapctl processes is alive and holds the lock
  cleaning,  ///< both are dead and somebody holds the lock: a sweep, a command about to begin, or still they
  orphaned,  ///< both are dead: what is left of it is to be swept
  released,  ///< both are dead, and it was told to leave its descendants alone
  gone,      ///< of an earlier boot: no process of it can be alive
  foreign,   ///< of another PID namespace: its pids mean nothing here
  unknown,   ///< anything else, never touched
};

/// Pure; the whole rule of which runs may be swept. The lock alone is not enough, for it outlives its holder in any
/// forked copy of the descriptor; nor are the identities, for a run that has just begun may not have the lock yet.
[[nodiscard]] Verdict verdict(const RunRecord& record, const RunObservation& seen);

/// "active", "orphaned", …
[[nodiscard]] std::string_view name_of(Verdict verdict);

}  // namespace reapctl::core
