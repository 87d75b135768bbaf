#pragma once

#include "core/process.hpp"
#include "core/report.hpp"
#include "core/time.hpp"
#include "core/verdict.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

/// What a sweep saw and did, as plain values. Three outcomes, never two: killed, survived, unknown.
namespace reapctl::core {

inline constexpr int kExitFound = 3;
inline constexpr int kExitNotGone = 4;

/// A process that a sweep took for a victim, or would not judge.
struct SweptProcess {
  ProcessDetails process;
  std::string user;
  std::string run_id;  ///< empty: found by --match-*
  std::string name;
  std::vector<std::string> identified_by;  ///< recorded, cgroup, cookie, descendant, match-env, …
  std::string owner_verdict;
  std::string died_of;          ///< the last signal before it was gone: "INT"; empty when it went by itself
  std::optional<Millis> after;  ///< from the request to its end; nullopt while it lives
  std::string rung;
  std::string reason;  ///< why it was not touched, or has survived
};

/// A run that a sweep is for.
struct SweptRun {
  std::string run_id;
  std::string name;
  std::string user;
  Verdict verdict = Verdict::orphaned;
  std::vector<pid_t> reapctl_pids;
  std::optional<WallTime> started_at;
  std::optional<Origin> origin;
  std::string cgroup;   ///< that is to go; empty for none
  std::string workdir;  ///< likewise
  std::int64_t workdir_files = 0;
  std::int64_t workdir_bytes = 0;
  std::vector<std::string> remove;
  std::string lock_name;
  int alive = 0;       ///< processes that are of it, or may be, when the sweep was over; counted for orphans only
  bool clean = false;  ///< nothing is left of it, and it is off the record
  std::string reason;  ///< why not
};

/// A file or directory that went.
struct RemovedItem {
  std::string kind;  ///< "cgroup", "workdir", "path", "record"
  std::string path;
  std::string run_id;
  std::int64_t files = 0;
  std::int64_t bytes = 0;
};

/// A run, or a registry, that was left alone.
struct SkippedItem {
  std::string run_id;  ///< empty: not about one run
  std::string name;
  std::string user;
  std::string verdict;  ///< "active", …; empty when it could not even be read
  std::string reason;
};

struct SweepReport {
  WallTime started_at;
  WallTime ended_at;
  Millis duration{};
  bool dry_run = false;
  std::vector<SweptRun> runs;
  std::vector<SweptProcess> victims;
  std::vector<SweptProcess> unknown;
  std::vector<SweptProcess> survivors;
  std::vector<RemovedItem> removed;
  std::vector<SkippedItem> skipped;
  int runs_examined = 0;
  int runs_active = 0;
  int runs_orphaned = 0;
  int processes_examined = 0;
  bool incomplete = false;  ///< something besides the listed could not be done: exit 4
  std::vector<std::string> warnings;
  int exit_code = 0;
};

}  // namespace reapctl::core
