#include "sys/children.hpp"

#include "sys/pid_fd.hpp"

#include <algorithm>
#include <cerrno>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace reapctl::sys {
namespace {

/// The system call itself: glibc's waitid has no room for the resource usage.
std::optional<ChildEnd> wait_for(idtype_t type, pid_t pid, int options) {
  ChildEnd child;
  long result = 0;
  do {
    result = ::syscall(SYS_waitid, type, pid, &child.info, options | WNOHANG | __WALL, &child.usage);
  } while (result < 0 && errno == EINTR);
  if (result < 0 || child.info.si_pid == 0) return std::nullopt;
  return child;
}

}  // namespace

bool has_children() {
  siginfo_t info{};
  return ::syscall(SYS_waitid, P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL, nullptr) == 0 || errno != ECHILD;
}

bool is_child(pid_t pid) {
  siginfo_t info{};
  return ::syscall(SYS_waitid, P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT | __WALL, nullptr) == 0;
}

std::vector<pid_t> children_by_asking() {
  constexpr pid_t kHighestPid = 4194304;  // PID_MAX_LIMIT, proc(5)
  std::vector<pid_t> found;
  const auto ask = [&found](pid_t first, pid_t end) {
    for (pid_t pid = first; pid < end; ++pid) {
      if (is_child(pid)) found.push_back(pid);
    }
  };
  const pid_t newest = ::fork();
  if (newest == 0) ::_exit(0);
  if (newest > 0) wait_and_reap(newest);
  ask(1, std::max(newest, 1));
  if (found.empty() && has_children()) ask(std::max(newest, 1), kHighestPid);
  return found;
}

std::optional<ChildEnd> peek_ended_child() {
  return wait_for(P_ALL, 0, WEXITED | WNOWAIT);
}

std::optional<ChildEnd> peek_ended(pid_t pid) {
  return wait_for(P_PID, pid, WEXITED | WNOWAIT);
}

std::optional<ChildEnd> reap(pid_t pid) {
  return wait_for(P_PID, pid, WEXITED);
}

void wait_and_reap(pid_t pid) {
  siginfo_t info{};
  while (::syscall(SYS_waitid, P_PID, pid, &info, WEXITED | __WALL, nullptr) != 0 && errno == EINTR) {
  }
}

std::optional<ChildEnd> reap_within(pid_t pid, std::chrono::milliseconds bound) {
  constexpr std::chrono::milliseconds kInterval(10);  // where no pidfd can be had
  using Clock = std::chrono::steady_clock;
  const auto pid_fd = open_pid_fd(pid);
  pollfd ended{.fd = pid_fd ? pid_fd->get() : -1, .events = POLLIN, .revents = 0};
  const auto deadline = Clock::now() + bound;
  for (;;) {
    auto end = reap(pid);
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    if (end || left.count() <= 0) return end;
    (void)::poll(&ended, 1, static_cast<int>((pid_fd ? left : std::min(left, kInterval)).count()));
  }
}

bool is_stopped(pid_t pid) {
  return wait_for(P_PID, pid, WSTOPPED | WNOWAIT).has_value();
}

bool take_stop(pid_t pid) {
  return wait_for(P_PID, pid, WSTOPPED).has_value();
}

bool take_continuation(pid_t pid) {
  return wait_for(P_PID, pid, WCONTINUED).has_value();
}

}  // namespace reapctl::sys
