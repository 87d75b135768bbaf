#include "engine/die_with.hpp"

#include "sys/pid_fd.hpp"

#include <cerrno>
#include <string>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

namespace reapctl::engine {
namespace {

sys::Result<DieWithWatch> watch_process(pid_t pid) {
  DieWithWatch watch;
  auto pid_fd = sys::open_pid_fd(pid);
  if (!pid_fd && pid_fd.error().code != ESRCH) return pid_fd.error();
  if (pid_fd) {
    watch.pid_fd = pid_fd.take();
    watch.fd = watch.pid_fd.get();
    watch.events = EPOLLIN;
  } else {
    watch.gone_already = true;
  }
  return watch;
}

/// Whether our parent is not the process that forked us, which then ended before we could ask for it. fork(2) inherits
/// the session: unless we lead our own, a parent in another one has adopted us.
bool is_adopted_by(pid_t parent) {
  const pid_t session = ::getsid(0);
  if (session == ::getpid()) return false;
  const pid_t of_parent = ::getsid(parent);
  return of_parent == -1 ? errno == ESRCH : of_parent != session;
}

sys::Result<DieWithWatch> watch_parent() {
  const pid_t parent = ::getppid();
  if (parent == 0) {
    return sys::Error{
        .code = 0, .operation = "the parent is outside of this PID namespace and cannot be watched", .subject = {}};
  }
  auto watch = watch_process(parent);
  if (watch && is_adopted_by(parent)) watch->gone_already = true;
  // The pid may have been reused between the two calls; if we still have the same parent, it was not.
  if (watch && ::getppid() != parent) watch->gone_already = true;
  return watch;
}

sys::Result<DieWithWatch> watch_standard_input() {
  struct stat status {};
  if (::fstat(STDIN_FILENO, &status) != 0) return sys::last_error("look at", "standard input");
  if (!S_ISFIFO(status.st_mode) && !S_ISSOCK(status.st_mode)) {
    return sys::Error{.code = 0, .operation = "standard input is neither a pipe nor a socket", .subject = {}};
  }
  DieWithWatch watch;
  watch.fd = STDIN_FILENO;
  watch.events = EPOLLRDHUP;  // EPOLLHUP comes unasked; data waiting to be read does not concern us
  return watch;
}

}  // namespace

sys::Result<DieWithWatch> watch_die_with(const core::DieWith& die_with) {
  switch (die_with.kind) {
    case core::DieWith::Kind::nothing: break;
    case core::DieWith::Kind::parent: return watch_parent();
    case core::DieWith::Kind::process: {
      auto watch = watch_process(die_with.pid);
      if (!watch || !watch->gone_already) return watch;
      return sys::Error{.code = 0, .operation = "no process has the pid", .subject = std::to_string(die_with.pid)};
    }
    case core::DieWith::Kind::standard_input: return watch_standard_input();
  }
  return DieWithWatch{};
}

}  // namespace reapctl::engine
