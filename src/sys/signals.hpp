#pragma once

#include "sys/result.hpp"
#include "sys/unique_fd.hpp"

#include <csignal>
#include <optional>
#include <span>
#include <sys/signalfd.h>

namespace reapctl::sys {

/// What the caller had arranged about signals, so that the command can be given exactly that.
struct CallerSignals {
  sigset_t mask{};
  bool child_ignored = false;  ///< SIGCHLD was ignored; then the kernel would reap in our place
};

/// Blocks every signal in this process but SIGCONT, which does its work without being received and would only wake us,
/// and sets SIGCHLD to its default. Call it first thing in main: as PID 1 an unhandled early SIGTERM is simply lost.
[[nodiscard]] CallerSignals block_signals();

/// The signals that block_signals() blocks.
[[nodiscard]] sigset_t supervised_signals();

/// A non-blocking descriptor that delivers the blocked signals as records. Source: signalfd(2).
[[nodiscard]] Result<UniqueFd> open_signal_fd();

/// Makes that descriptor deliver all of them but `left`, which stay pending. Source: signalfd(2).
void hear_all_but(int signal_fd, std::span<const int> left);

/// The next pending signal; nullopt when there is none. Leaves out what the kernel raised because this process itself
/// has reached a resource limit (SIGXFSZ, SIGXCPU: setrlimit(2)): nobody sent it, and the write fails with EFBIG all
/// the same.
[[nodiscard]] std::optional<signalfd_siginfo> next_signal(int signal_fd);

/// Whether this process ignores the signal: reapctl goes on ignoring what its caller ignored. A blocked signal is
/// delivered to the descriptor even so, sigaction(2).
[[nodiscard]] bool is_ignored(int signal);

/// Gives `signal` its default action and sends it to ourselves. Returns if that did not end the process (as PID 1).
void die_of(int signal);

/// Stops this process as ^Z would have: SIGTSTP with its default action, which the kernel ignores in an orphaned
/// process group. Returns when continued, or at once.
void stop_self();

}  // namespace reapctl::sys
