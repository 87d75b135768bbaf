#pragma once

#include "sys/unique_fd.hpp"

#include <cstddef>
#include <string_view>
#include <sys/types.h>

namespace reapctl::sys {

/// Whether this process has a controlling terminal. Source: tty(4), /dev/tty opens only then.
[[nodiscard]] bool has_controlling_terminal();

/// A line on the terminal that is stderr, rewritten in place. Nothing at all happens where stderr is no terminal. Never
/// waits: what a terminal has no room for (^S) is not shown. Nor is anybody stopped by it: `stty tostop` stops a
/// background process only if it neither blocks nor ignores SIGTTOU (termios(3)).
class StatusLine {
 public:
  /// Replaces what is there; an empty text leaves the line as it was before the first. No line feed, no control
  /// characters.
  void show(std::string_view text);

 private:
  [[nodiscard]] bool open();

  bool opened_ = false;
  UniqueFd terminal_;  ///< an open file of its own: O_NONBLOCK would affect everybody who shares stderr
  std::size_t shown_ = 0;
};

/// Takes this process, which leads a process group, out of its session and so away from the terminal; into a session
/// and a group of its own. At no instant is it in a group that others are in. Best effort: without a fork it stays.
/// Source: setsid(2), setpgid(2).
void leave_session();

}  // namespace reapctl::sys
