#pragma once

#include "core/process.hpp"
#include "core/time.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

/// The exit report of a run as plain values, in the order in which it is printed. Absent facts are nullopt, never 0.
namespace reapctl::core {

/// No list in a report is longer; the *_total counts say how long it would have been.
inline constexpr std::size_t kListLimit = 64;

/// How the run ended; the first that applies, in this order of precedence.
enum class RunResult {
  supervisor_died,
  guard_died,
  not_started,
  overlap,
  timeout,
  stopped,
  core_dump,
  signal,
  exit_code,
  success,
};

enum class StopCause { signal, timeout, leftovers, die_with, guard_death, supervisor_death };

enum class ExitKind { exited, killed, dumped, not_started };

/// How the main command ended, from its wait status, or why it never began.
struct ExitStatus {
  ExitKind kind = ExitKind::not_started;
  std::optional<int> code;
  std::optional<int> signal;
  std::string failed_stage;  ///< for not_started: "fork", "chdir", "exec", …
  int failed_errno = 0;
};

struct ResourceUsage {
  std::int64_t utime_ms = 0;
  std::int64_t stime_ms = 0;
  std::int64_t maxrss_bytes = 0;
  std::int64_t minflt = 0;
  std::int64_t majflt = 0;
  std::int64_t nvcsw = 0;
  std::int64_t nivcsw = 0;
  std::int64_t inblock = 0;
  std::int64_t oublock = 0;
};

/// Who started reapctl.
struct Origin {
  pid_t ppid = 0;
  std::string comm;
  std::vector<std::string> argv;
  std::string user;
  std::string tty;   ///< "pts/3"; empty without a controlling terminal
  std::string unit;  ///< "cron.service", from the cgroup; empty when there is none
  std::string ci;    ///< "github-actions owner/repo run 12 job build"; empty outside CI
};

struct MainReport {
  pid_t pid = 0;
  WallTime started_at;
  std::optional<Millis> duration;
  std::optional<ResourceUsage> rusage;
};

struct ProcessName {
  pid_t pid = 0;
  std::string comm;
};

struct RungReport {
  std::string signal_name;  ///< "INT/TERM", "KILL"
  Millis at{};              ///< since the request to stop
  int told = 0;             ///< processes signalled
  int ended = 0;            ///< of those, gone when the rung was over
  int left = 0;             ///< alive when the rung was over, told or not

  /// Told by this rung and alive when it was over, for the text form; at most kListLimit.
  std::vector<ProcessName> stayed;
  int stayed_total = 0;
};

struct StopReport {
  StopCause cause = StopCause::signal;
  std::optional<int> signal;
  std::optional<pid_t> sender_pid;
  WallTime requested_at;
  Millis after{};                        ///< from the start of the run to the request
  Millis duration{};                     ///< from the request to the end of the last process
  std::vector<ProcessDetails> snapshot;  ///< the tree when the stop began; at most kListLimit
  std::vector<RungReport> rungs;
  bool timeout_hit = false;  ///< --stop-timeout cut it short
};

/// A descendant that outlived the main command.
struct Leftover {
  ProcessDetails process;
  std::optional<int> died_of;   ///< the signal that ended it; nullopt when it exited or its parent reaped it
  std::optional<Millis> after;  ///< from the end of the main command to its own
  std::string rung;             ///< signal name of the rung during which it ended; empty when it ended by itself
};

struct Survivor {
  pid_t pid = 0;
  std::string comm;
  char state = '?';
  std::string wchan;
  std::string reason;
};

struct TreeReport {
  int adopted = 0;  ///< processes that became children of reapctl when their parent died
  int reaped = 0;   ///< all that reapctl reaped, the main command included
  ResourceUsage reaped_rusage;
  std::optional<int> peak_processes;  ///< most seen alive in one look at the tree; nullopt if there was no look
  std::vector<Leftover> leftovers;    ///< at most kListLimit
  int leftovers_total = 0;
  std::vector<Survivor> survivors;  ///< at most kListLimit
  int survivors_total = 0;
  int snapshot_total = 0;  ///< how many StopReport::snapshot would have without the limit

  /// What those in snapshot and leftovers listened on, if nobody at all listens on that port at the end, for the text
  /// form.
  std::vector<std::string> freed;
};

struct WorkdirError {
  std::string path;
  std::string errno_name;
};

/// For people: path and errno, and what that means where it is not plain: "d/mnt (EXDEV: something is mounted there)".
[[nodiscard]] inline std::string why_not_deleted(const WorkdirError& error) {
  return error.path + " (" + error.errno_name + (error.errno_name == "EXDEV" ? ": something is mounted there)" : ")");
}

struct WorkdirReport {
  std::string path;
  bool kept = false;             ///< on purpose: --keep-workdir, or for those that --leftovers leave left
  bool deleted = false;          ///< completely
  std::int64_t files = 0;        ///< deleted: everything that is not a directory
  std::int64_t directories = 0;  ///< deleted, the work directory itself included
  std::int64_t bytes = 0;        ///< allocated blocks freed
  Millis duration{};
  int threads = 0;
  std::vector<WorkdirError> errors;  ///< at most kListLimit
  int errors_total = 0;
};

/// What the command wrote, with --tail.
struct OutputReport {
  std::string stdout_tail;
  std::string stderr_tail;
  std::int64_t stdout_bytes = 0;  ///< all of it
  std::int64_t stderr_bytes = 0;
};

/// The cgroup of a run; a figure is nullopt where its controller is not delegated.
struct CgroupReport {
  std::string path;
  std::optional<std::int64_t> memory_peak_bytes;
  std::optional<std::int64_t> cpu_usage_us;
  std::optional<std::int64_t> oom_kills;
};

struct LoopReport {
  std::int64_t max_stall_us = 0;
  std::int64_t wakeups = 0;
};

struct RunReport {
  std::string run_id;
  std::string name;
  std::string host;
  std::string boot_id;
  std::vector<std::string> argv;
  std::string cwd;
  std::string executable;  ///< empty when it was never found
  Origin origin;
  WallTime started_at;
  WallTime ended_at;
  Millis duration{};
  RunResult result = RunResult::success;
  std::optional<ExitStatus> exit;  ///< nullopt: the main command could not be killed
  int exit_code = 0;
  std::optional<MainReport> main;
  std::optional<StopReport> stop;
  TreeReport tree;
  bool guard = false;
  std::string containment_why;         ///< why with a cgroup, or without one
  std::optional<CgroupReport> cgroup;  ///< nullopt: the mode is "subreaper"
  std::optional<WorkdirReport> workdir;
  LoopReport loop;
  std::optional<OutputReport> output;
  std::vector<std::string> warnings;
};

/// How much of a command line reports show.
enum class ArgsShown { redacted, full, none };

}  // namespace reapctl::core
