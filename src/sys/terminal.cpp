#include "sys/terminal.hpp"

#include "sys/children.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

namespace reapctl::sys {

bool has_controlling_terminal() {
  return UniqueFd(::open("/dev/tty", O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)).valid();
}

bool StatusLine::open() {
  if (!opened_ && ::isatty(STDERR_FILENO) == 1) {
    terminal_.reset(::open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  }
  opened_ = true;
  return terminal_.valid();
}

void StatusLine::show(std::string_view text) {
  if ((text.empty() && shown_ == 0) || !open()) return;
  std::string line = "\r" + std::string(text);
  line.append(shown_ - std::min(shown_, text.size()), ' ');
  if (text.empty()) line += '\r';
  if (::write(terminal_.get(), line.data(), line.size()) > 0) shown_ = text.size();
}

void leave_session() {
  // The leader of a group cannot call setsid(2). So first into the group of a child, which lasts until that is reaped.
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
