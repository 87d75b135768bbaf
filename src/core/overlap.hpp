#pragma once

#include "core/process.hpp"
#include "core/record.hpp"
#include "core/time.hpp"
#include "core/verdict.hpp"

#include <optional>
#include <string>
#include <string_view>

/// One run per lock: what a run does that finds another one in its way. Pure; engine/lock_turn acts.
namespace reapctl::core {

enum class OnOverlap { skip, wait, fail, kill };

struct LockPlan {
  std::string name;
  OnOverlap on_overlap = OnOverlap::skip;
  std::optional<Millis> wait_limit;  ///< for `wait`; nullopt: for ever
};

/// 1 to 64 of A-Z a-z 0-9 . _ -, and a name that a file can have: neither "." nor "..".
[[nodiscard]] bool is_lock_name(std::string_view name);

/// What to do about a run that held the lock before and has let go of it: it may have been killed, and its tree live
/// on.
enum class FormerMove {
  start,       ///< nothing of it can be alive
  finish,      ///< something may be: sweep that run first
  look_again,  ///< it is just dying
  refuse,      ///< it cannot be told whether anything of it is alive
};

/// `record` and `verdict` are those of the former holder; without a record in the registry there is nothing to ask.
[[nodiscard]] FormerMove about_former_holder(const RunRecord& record, Verdict verdict);

/// What a run knows of the one that is in its way.
struct LockHolder {
  std::string run_id;  ///< empty: it has just taken the lock and is not on record yet
  std::string name;
  pid_t reapctl_pid = 0;
  RecordState state = RecordState::starting;
  std::optional<WallTime> started_at;
  std::string command;                 ///< as reports may show it
  std::optional<ProcessDetails> main;  ///< its main command, if that is alive
  bool encloses_us = false;            ///< we were started inside of it: it does not end before we do
  /// Id of the run that it was started inside of, which had the lock until its reapctl was killed; empty: it has the
  /// lock itself.
  std::string inside_of;
};

enum class OverlapMove { lose, wait, stop_holder, refuse };

/// What to do while `holder` has the lock. `waited_out`: the limit of --on-overlap wait is over.
[[nodiscard]] OverlapMove about_holder(const LockPlan& plan, const LockHolder& holder, bool waited_out);

/// What the run exits with that has lost: 0 for skip, else 75 (EX_TEMPFAIL).
[[nodiscard]] int overlap_exit_code(OnOverlap policy);

/// Who has the lock, since when, and what it is doing: `lock "backup" is held by run 9A0C…`.
[[nodiscard]] std::string holder_sentence(std::string_view lock, const LockHolder& holder, WallTime now);

}  // namespace reapctl::core
