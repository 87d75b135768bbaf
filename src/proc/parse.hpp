#pragma once

#include "core/process.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

/// The texts of /proc as values: pure functions, which take any bytes and never throw on them.
namespace reapctl::proc {

/// Takes the first line off `text`, without its newline; all of it if there is none.
[[nodiscard]] std::string_view take_line(std::string_view& text);

/// Takes the first word off `line`, and the spaces in front of it; empty at the end.
[[nodiscard]] std::string_view take_word(std::string_view& line);

/// Which signals a process has blocked, ignored and caught: bit N-1 stands for signal N, proc_pid_status(5).
struct SignalMasks {
  std::uint64_t blocked = 0;  ///< of the first thread only: each thread has a mask of its own
  std::uint64_t ignored = 0;
  std::uint64_t caught = 0;

  /// Whether a process-directed `signal` is thrown away. False for numbers that are no signal.
  [[nodiscard]] bool ignores(int signal) const;
};

/// One line of /proc/PID/stat. A comm holds any byte, `a) R 1 1 1 (x` included, and the fields after it hold only
/// numbers, so the comm ends at the last `)`. nullopt when the line is cut short or not of this form.
///
/// A process is `doomed` by any of three signs, because each alone leaves a gap:
/// - PF_EXITING or PF_SIGNALED (sched.h) among its flags;
/// - SIGKILL pending for its first thread, where complete_signal() in kernel/signal.c notes it; get_signal() takes it
///   away a moment before the flags are set;
/// - SIGKILL as its exit code, which covers that moment too, but is shown only since about Linux 5.19, and only to
///   those who may read it (do_task_stat() in fs/proc/array.c).
[[nodiscard]] std::optional<core::ProcessStat> parse_stat(std::string_view text);

/// Whether that line is of a process in the middle of its exec: it has an address space, and no environment in it yet,
/// so that its `environ` is empty. Source: proc_pid_stat(5), flags and env_end; PF_KTHREAD and PF_EXITING of sched.h.
[[nodiscard]] bool is_in_exec(std::string_view stat);

/// Whether that line is of a process that has ended, or is on its way out: it forks no more, and gives up its memory.
/// False if only its first thread is. Source: proc_pid_stat(5), flags and num_threads; PF_EXITING of sched.h.
[[nodiscard]] bool is_ending(std::string_view stat);

/// SigBlk, SigIgn and SigCgt of /proc/PID/status; nullopt when one is missing.
[[nodiscard]] std::optional<SignalMasks> parse_signal_masks(std::string_view status);

/// Whose a process is, and where, proc_pid_status(5).
struct StatusFacts {
  uid_t effective_uid = 0;
  int pid_namespaces = 1;  ///< pids that it has: 1 in the namespace of this /proc, more in one below
};

/// Uid and NSpid of /proc/PID/status; nullopt without a Uid. A kernel without NSpid (before Linux 4.1) counts as 1.
[[nodiscard]] std::optional<StatusFacts> parse_status(std::string_view status);

/// The pids of a `children` file, in its order. Stops at the first thing that is not a pid.
[[nodiscard]] std::vector<pid_t> parse_pids(std::string_view text);

/// The arguments in a `cmdline` or the variables in an `environ`: each ends in NUL, the last may lack it.
[[nodiscard]] std::vector<std::string> split_at_nul(std::string_view text);

}  // namespace reapctl::proc
