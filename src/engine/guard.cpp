#include "engine/guard.hpp"

#include "core/time.hpp"
#include "engine/remover.hpp"
#include "sys/children.hpp"
#include "sys/descriptors.hpp"
#include "sys/event_loop.hpp"
#include "sys/pid_fd.hpp"
#include "sys/signals.hpp"

#include <cassert>
#include <csignal>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace reapctl::engine {
namespace {

enum Source : sys::EventLoop::Tag { kSignals, kSupervisorEnded, kMessage };

/// How long a supervisor that has left a deletion unfinished may take to end. Threads that do not hang need no time.
constexpr core::Millis kFarewell{200};

/// Never waits: a supervisor that does not listen is seen to by other means, and a signal that finds the queue full
/// finds many of its kind in it.
void send(int socket, const GuardMessage& message) {
  (void)::send(socket, &message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

std::optional<GuardMessage> receive_from(int socket) {
  GuardMessage message;
  if (::recv(socket, &message, sizeof message, MSG_DONTWAIT) != static_cast<ssize_t>(sizeof message)) {
    return std::nullopt;
  }
  return message;
}

}  // namespace

std::optional<GuardMessage> GuardLink::receive() const {
  return receive_from(socket_.get());
}

void GuardLink::ask_to_stop() const {
  send(socket_.get(), {.kind = GuardMessage::Kind::stop});
}

void GuardLink::take_leave() const {
  send(socket_.get(), {.kind = GuardMessage::Kind::leave});
}

void GuardLink::tell_output_gone() const {
  send(socket_.get(), {.kind = GuardMessage::Kind::output_gone});
}

void GuardLink::wake() const {
  (void)sys::send_signal(pid_fd_.get(), SIGCONT);
}

void Guard::pass_on(const signalfd_siginfo& info) const {
  if (info.ssi_signo != SIGCHLD) {
    send(socket_.get(), {.kind = GuardMessage::Kind::signal, .signal = info});
    return;
  }
  // A command that stops its supervisor must not get away with it.
  if (sys::is_stopped(supervisor_)) (void)sys::send_signal(pid_fd_.get(), SIGCONT);
}

/// Nothing at the end of the connection.
std::optional<GuardMessage::Kind> Guard::on_message(const std::function<void()>& output_gone) const {
  const auto message = receive_from(socket_.get());
  if (!message) return std::nullopt;
  if (message->kind == GuardMessage::Kind::stop) {
    sys::stop_self();
    send(socket_.get(), {.kind = GuardMessage::Kind::resumed});
  }
  if (message->kind == GuardMessage::Kind::output_gone) output_gone();
  return message->kind;
}

sys::Result<WatchEnd> Guard::watch(const SharedPage& page, std::vector<int> keep,
                                   const std::function<void()>& output_gone) {
  auto loop = sys::EventLoop::create();
  if (!loop) return loop.error();
  auto signal_fd = sys::open_signal_fd();
  if (!signal_fd) return signal_fd.error();
  for (const auto& [fd, source] : {std::pair{signal_fd->get(), kSignals}, std::pair{pid_fd_.get(), kSupervisorEnded},
                                   std::pair{socket_.get(), kMessage}}) {
    if (auto added = loop->add(fd, EPOLLIN, source); !added) return added.error();
    keep.push_back(fd);
  }
  keep.push_back(loop->epoll_fd());
  (void)sys::release_inherited(std::move(keep), loop->epoll_fd());  // the supervisor fails likewise, and says so
  (void)!::chdir("/");
  std::optional<core::TimePoint> patience;
  while (!patience || core::Clock::now() < *patience) {
    const auto source = loop->wait(patience);
    if (source == kSignals) {
      if (const auto info = sys::next_signal(signal_fd->get())) pass_on(*info);
    } else if (source == kMessage) {
      const auto kind = on_message(output_gone);
      if (!kind) loop->remove(socket_.get());  // its other end is closed: he is about to end
      // A thread that hangs in the kernel keeps its process from ending, be it killed. The run does not wait for it.
      if (kind == GuardMessage::Kind::leave) patience = core::Clock::now() + kFarewell;
    } else if (source == kSupervisorEnded) {
      sys::wait_and_reap(supervisor_);
      return page.done.load() ? WatchEnd::supervisor_done : WatchEnd::supervisor_died;
    }
  }
  return WatchEnd::supervisor_done;
}

sys::Result<GuardedFork> fork_supervisor() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return sys::last_error("socketpair");
  sys::UniqueFd guard_end(ends[0]);
  sys::UniqueFd supervisor_end(ends[1]);
  const pid_t guard = ::getpid();
  auto guard_fd = sys::open_pid_fd(guard);
  if (!guard_fd) return guard_fd.error();
  assert(!removal_threads_exist());
  const pid_t supervisor = ::fork();
  if (supervisor < 0) return sys::last_error("fork");
  GuardedFork sides;
  if (supervisor == 0) {
    (void)::setpgid(0, 0);  // cannot fail for a new child
    sides.link.emplace(guard, guard_fd.take(), std::move(supervisor_end));
    return sides;
  }
  // Our child, unreaped: the pid is his whatever has become of him. Without a descriptor for him we could not watch.
  auto supervisor_fd = sys::open_pid_fd(supervisor);
  if (!supervisor_fd) {
    (void)::kill(supervisor, SIGKILL);
    sys::wait_and_reap(supervisor);
    return supervisor_fd.error();
  }
  sides.guard.emplace(supervisor, supervisor_fd.take(), std::move(guard_end));
  return sides;
}

}  // namespace reapctl::engine
