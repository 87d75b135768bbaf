#include "sys/terminal.hpp"

#include "sys/children.hpp"
#include "sys/unique_fd.hpp"

#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace reapctl::sys {

bool has_controlling_terminal() {
  return UniqueFd(::open("/dev/tty", O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)).valid();
}

void leave_session() {
  // Who leads a group must not call setsid: first into the group of a child, which lasts as long as the child is not
  // reaped.
  const pid_t child = ::fork();
  if (child < 0) return;
  if (child == 0) {
    (void)::setpgid(0, 0);
    ::_exit(0);
  }
  siginfo_t info{};
  while (::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT) != 0 && errno == EINTR) {
  }
  if (::setpgid(0, child) == 0) (void)::setsid();
  wait_and_reap(child);
}

}  // namespace reapctl::sys
