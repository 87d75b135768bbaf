#pragma once

namespace reapctl::sys {

/// Whether this process has a controlling terminal. Source: tty(4), /dev/tty opens only then.
[[nodiscard]] bool has_controlling_terminal();

/// Takes this process, which leads a process group, out of its session and so away from the terminal; into a session
/// and a group of its own. At no instant is it in a group that others are in. Best effort: without a fork it stays.
/// Source: setsid(2), setpgid(2).
void leave_session();

}  // namespace reapctl::sys
