#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <sys/types.h>
#include <vector>

namespace reapctl::core {

/// Which process, for as long as this boot lasts: a pid alone is a name that can be reused.
struct ProcessId {
  pid_t pid = 0;
  std::uint64_t start_ticks = 0;  ///< field 22 of /proc/PID/stat, proc(5)
  auto operator<=>(const ProcessId&) const = default;
};

/// What /proc/PID/stat says (proc(5)); only what reapctl uses.
struct ProcessStat {
  ProcessId id;
  std::string comm;
  char state = '?';
  pid_t ppid = 0;
  pid_t pgid = 0;
  pid_t sid = 0;
  int tty_nr = 0;
  pid_t tpgid = 0;             ///< the foreground group of its terminal; -1 without one
  std::int64_t cpu_ticks = 0;  ///< utime + stime
  int threads = 0;
  std::int64_t rss_pages = 0;
  bool doomed = false;  ///< SIGKILL has reached it or it is on its way out: no program runs in it any more
  /// Where its environment lies, which exec(2) chooses anew, at random. Both 0 when we may not know, and then we may
  /// not read it either (PTRACE_MODE_READ, proc_pid_stat(5)), and for kernel threads.
  std::uint64_t environment_begin = 0;
  std::uint64_t environment_end = 0;
};

/// A zombie has nothing left to kill, unless only its first thread has ended (proc_pid_stat(5), num_threads).
[[nodiscard]] inline bool is_alive(const ProcessStat& process) {
  return (process.state != 'Z' && process.state != 'X') || process.threads > 1;
}

/// A process as reports show it. Filled in by proc::describe; what could not be read is empty. A state of '?' says that
/// /proc/PID/stat could not be read: then comm and the numbers other than pid are unknown.
struct ProcessDetails {
  pid_t pid = 0;
  pid_t ppid = 0;
  pid_t pgid = 0;
  pid_t sid = 0;
  std::uint64_t start_ticks = 0;
  std::string comm;
  std::vector<std::string> argv;  ///< unredacted; empty for a zombie or kernel thread
  char state = '?';
  std::string wchan;  ///< empty when the kernel does not say
  std::int64_t cpu_ms = 0;
  std::int64_t rss_bytes = 0;
  std::int64_t age_ms = 0;
  std::vector<std::string> listening;  ///< "127.0.0.1:6379", "[::]:80": TCP sockets in state LISTEN

  [[nodiscard]] bool known() const { return state != '?'; }
};

}  // namespace reapctl::core
