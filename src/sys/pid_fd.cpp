#include "sys/pid_fd.hpp"

#include <sys/syscall.h>
#include <unistd.h>

namespace reapctl::sys {

Result<UniqueFd> open_pid_fd(pid_t pid) {
  UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));  // close-on-exec by itself
  if (!fd.valid()) return last_error("pidfd_open", std::to_string(pid));
  return fd;
}

Result<void> send_signal(int pid_fd, int signal, const siginfo_t* info) {
  if (::syscall(SYS_pidfd_send_signal, pid_fd, signal, info, 0) != 0) return last_error("pidfd_send_signal");
  return {};
}

}  // namespace reapctl::sys
