#pragma once

#include <chrono>
#include <csignal>
#include <optional>
#include <sys/resource.h>
#include <sys/types.h>
#include <vector>

namespace reapctl::sys {

/// A child that has ended and still holds its pid, or one that was just reaped.
struct ChildEnd {
  siginfo_t info{};
  rusage usage{};  ///< only after reaping
};

/// Whether this process has any child at all, living or ended, whatever its exit signal. Source: waitid(2), __WALL.
[[nodiscard]] bool has_children();

/// Whether `pid` is a child of this process, living or ended.
[[nodiscard]] bool is_child(pid_t pid);

/// The children of this process, living or ended, without /proc: asks the kernel about each pid, half a microsecond
/// each, up to the newest, which a child made for this has. Pids wrap around, so a child may have a higher one: those
/// are looked for when no others are left.
[[nodiscard]] std::vector<pid_t> children_by_asking();

/// A child that has ended, left unreaped so that its pid cannot be reused; nullopt if there is none.
[[nodiscard]] std::optional<ChildEnd> peek_ended_child();

/// The same for the child `pid`.
[[nodiscard]] std::optional<ChildEnd> peek_ended(pid_t pid);

/// Reaps the ended child `pid`; nullopt if it has not ended.
[[nodiscard]] std::optional<ChildEnd> reap(pid_t pid);

/// Waits for the child `pid`, which is ending already, and reaps it.
void wait_and_reap(pid_t pid);

/// The same for a child that is ending, or was killed, but waits for at most `bound`. nullopt: it has not ended, for
/// the kernel does not let go of it, or a debugger holds it.
[[nodiscard]] std::optional<ChildEnd> reap_within(pid_t pid, std::chrono::milliseconds bound);

/// Whether the child `pid` is stopped now, by a stop that has not been taken.
[[nodiscard]] bool is_stopped(pid_t pid);

/// The same, and takes it: this stop is not reported again. Source: waitid(2), WSTOPPED without WNOWAIT.
[[nodiscard]] bool take_stop(pid_t pid);

/// Whether the child `pid` was continued and has not stopped since; reported once.
[[nodiscard]] bool take_continuation(pid_t pid);

}  // namespace reapctl::sys
