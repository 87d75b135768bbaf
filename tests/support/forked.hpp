#pragma once

#include <cstdlib>
#include <functional>
#include <sys/wait.h>
#include <unistd.h>

namespace reapctl::test {

/// fork(2) that does not fail: the pid of a child that does not exist is -1, and a signal to it goes to everybody.
[[nodiscard]] inline pid_t must_fork() {
  const pid_t pid = ::fork();
  if (pid < 0) std::abort();
  return pid;
}

/// For what changes a whole process (its signals, its descriptors): runs `body` in a child and returns the child's
/// wait status. The child exits 0 if the body returned true, else 1.
[[nodiscard]] inline int status_of_forked(const std::function<bool()>& body) {
  const pid_t pid = must_fork();
  if (pid == 0) ::_exit(body() ? 0 : 1);
  int status = -1;
  (void)::waitpid(pid, &status, 0);
  return status;
}

[[nodiscard]] inline bool holds_when_forked(const std::function<bool()>& body) {
  return status_of_forked(body) == 0;
}

}  // namespace reapctl::test
