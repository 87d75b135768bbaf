#pragma once

#include "sys/result.hpp"
#include "sys/unique_fd.hpp"

#include <csignal>
#include <sys/types.h>

namespace reapctl::sys {

/// A descriptor for the process that has `pid` now; it becomes readable when the process has ended, and it never
/// comes to mean another one. Errors: ESRCH, EINVAL (a thread), ENOSYS before Linux 5.3. Source: pidfd_open(2).
[[nodiscard]] Result<UniqueFd> open_pid_fd(pid_t pid);

/// Signals the process behind `pid_fd`. Errors: ESRCH (gone and reaped), EPERM. Succeeds on a zombie.
[[nodiscard]] Result<void> send_signal(int pid_fd, int signal, const siginfo_t* info = nullptr);

}  // namespace reapctl::sys
