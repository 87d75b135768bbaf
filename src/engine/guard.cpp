#include "engine/guard.hpp"

#include "core/time.hpp"
#include "engine/remover.hpp"
#include "engine/spawn.hpp"
#include "sys/children.hpp"
#include "sys/descriptors.hpp"
#include "sys/event_loop.hpp"
#include "sys/pid_fd.hpp"
#include "sys/signals.hpp"

#include <cassert>
#include <csignal>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace reapctl::engine {
namespace {

enum Source : sys::EventLoop::Tag { kSignals, kSupervisorEnded, kMessage };

/// What a busy machine may need beyond --stop-timeout, and what the kernel needs to end a process that was killed.
constexpr core::Millis kMargin{1000};
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

void GuardLink::tell_of_start(SharedPage& page) const {
  page.keys_taken_over.store(true);
  if (page.keys_left.load()) send(socket_.get(), {.kind = GuardMessage::Kind::started});
}

void GuardLink::ask_to_stop() const {
  send(socket_.get(), {.kind = GuardMessage::Kind::stop});
}

void GuardLink::tell_of_deadline() const {
  send(socket_.get(), {.kind = GuardMessage::Kind::hurry});
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

/// What is received here is no longer pending, and the command would not find it. Store, then load, on both sides:
/// either we see that the command has looked, or the supervisor sees that it has to tell us (tell_of_start).
void Guard::leave_keys(SharedPage& page, int signal_fd) const {
  if (page.keys_taken_over.load()) return;
  page.keys_left.store(true);
  if (!page.keys_taken_over.load()) sys::hear_all_but(signal_fd, kKeySignals);
}

/// The supervisor may hang already and never see the request: so the time runs from here, until it sets a deadline of
/// its own. While the exec of the command hangs it does not read what is sent to it, but looks at the page.
void Guard::on_signal(const signalfd_siginfo& info, SharedPage& page, const GuardOrders& orders) {
  if (!page.stop_asked.load() && orders.asks_to_stop(info)) {
    page.stop_asked.store(true);
    if (orders.stop_timeout) asked_until_ = core::Clock::now() + *orders.stop_timeout;
  }
  if (!orders.pass_straight(info)) pass_on(info);
}

std::optional<core::TimePoint> Guard::next_check(const SharedPage& page) const {
  switch (patience_) {
    case Patience::in_time: break;
    case Patience::a_little_more:
    case Patience::ending: return next_step_;
    case Patience::over: return std::nullopt;
  }
  const auto deadline = page.stop_deadline();
  return deadline ? deadline : asked_until_;
}

/// One step at a time, each counted from now: if both processes were frozen, the supervisor gets its time all the same.
void Guard::check(const SharedPage& page) {
  const auto due = next_check(page);
  const core::TimePoint now = core::Clock::now();
  if (!due || now < *due) return;
  next_step_ = now + kMargin;
  switch (patience_) {
    case Patience::in_time: patience_ = Patience::a_little_more; break;
    case Patience::a_little_more:
      (void)sys::send_signal(pid_fd_.get(), SIGKILL);  // our child, with our rights: cannot fail
      patience_ = Patience::ending;
      break;
    case Patience::ending: patience_ = Patience::over; break;
    case Patience::over: break;
  }
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
std::optional<GuardMessage::Kind> Guard::on_message(const GuardOrders& orders) const {
  const auto message = receive_from(socket_.get());
  if (!message) return std::nullopt;
  if (message->kind == GuardMessage::Kind::stop) {
    sys::stop_self();
    send(socket_.get(), {.kind = GuardMessage::Kind::resumed});
  }
  if (message->kind == GuardMessage::Kind::output_gone) orders.output_gone();
  return message->kind;
}

sys::Result<WatchEnd> Guard::watch(SharedPage& page, std::vector<int> keep, const GuardOrders& orders) {
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
  while (patience_ != Patience::over) {
    const auto source = loop->wait(next_check(page));
    if (!source) {
      check(page);
    } else if (source == kSignals) {
      if (orders.on_terminal) leave_keys(page, signal_fd->get());
      if (const auto info = sys::next_signal(signal_fd->get())) on_signal(*info, page, orders);
    } else if (source == kMessage) {
      const auto kind = on_message(orders);
      if (!kind) {  // the other end is closed: the supervisor is about to end
        loop->remove(socket_.get());
        if (page.done.load()) orders.let_go();
      }
      if (kind == GuardMessage::Kind::started) sys::hear_all_but(signal_fd->get(), {});
      // A thread that hangs in the kernel keeps its process from ending, be it killed. The run does not wait for it.
      if (kind == GuardMessage::Kind::leave) {
        patience_ = Patience::ending;
        next_step_ = core::Clock::now() + kFarewell;
      }
    } else if (source == kSupervisorEnded) {
      if (patience_ == Patience::in_time) {
        sys::wait_and_reap(supervisor_);
      } else {
        (void)sys::reap(supervisor_);  // a debugger that holds it may have to reap it first
      }
      return page.done.load() ? WatchEnd::supervisor_done : WatchEnd::supervisor_died;
    }
  }
  return page.done.load() ? WatchEnd::supervisor_done : WatchEnd::supervisor_died;
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
    // The command may stop us at the instant at which the guard, which would continue us, is killed.
    (void)::prctl(PR_SET_PDEATHSIG, SIGCONT);
    sides.link.emplace(guard, guard_fd.take(), std::move(supervisor_end));
    return sides;
  }
  // Our child, unreaped: the pid stays its own, whatever has become of it. Without a descriptor we could not watch it.
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
