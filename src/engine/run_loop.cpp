#include "engine/run_loop.hpp"

#include "core/exit_status.hpp"
#include "core/signal_name.hpp"
#include "engine/direct_line.hpp"
#include "engine/give_up.hpp"
#include "sys/descriptors.hpp"
#include "sys/pid_fd.hpp"
#include "sys/signals.hpp"

#include <algorithm>
#include <csignal>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

namespace reapctl::engine {
namespace {

/// How many messages of the guard are read in one go. As a rule no more are waiting in the socket.
constexpr int kMostMessages = 64;

std::optional<pid_t> sender_of(const signalfd_siginfo& info) {
  // The kernel sends in nobody's name, and a sender outside of this PID namespace shows as 0.
  if (info.ssi_code == SI_KERNEL || info.ssi_pid == 0) return std::nullopt;
  return static_cast<pid_t>(info.ssi_pid);
}

}  // namespace

RunLoop::RunLoop(const core::RunPlan& plan, const RunObserver& observer, RunResources& resources, Tree& tree,
                 Ledger& ledger, core::RunReport& report)
    : plan_(plan),
      observer_(observer),
      resources_(resources),
      tree_(tree),
      ledger_(ledger),
      report_(report),
      cleanup_(plan, resources.workdir, report.warnings),
      adoptions_(tree, resources.registration) {
  if (observer_.event) tree_.watch_adoptions();
}

void RunLoop::begin(core::RunEventKind kind, core::TimePoint at) {
  now_ = main_started_at_ = at;
  if (kind == core::RunEventKind::started) {
    emit(core::StartedEvent{.pid = resources_.main.pid, .argv = plan_.argv});
    if (!resources_.cgroup) adoptions_.begin(at);  // whoever is in the cgroup is found by it
  }
  feed({.kind = kind});
}

void RunLoop::hear_why_unwanted() {
  now_ = core::Clock::now();
  feed({.kind = core::RunEventKind::tick});  // --timeout
  if (resources_.die_with.fd >= 0 && sys::is_ready(resources_.die_with.fd, resources_.die_with.events))
    handle(kDieWith);
  if (!resources_.guard) {
    on_own_signal();  // one to stop comes before SIGCHLD: the lowest number first, signal(7)
    return;
  }
  for (int i = 0; i < kMostMessages && sys::is_ready(resources_.guard->socket(), POLLIN); ++i) on_guard_message();
  if (sys::is_ready(resources_.guard->pid_fd(), POLLIN)) handle(kGuardEnded);
}

void RunLoop::take_over(core::TimePoint began_at) {
  now_ = core::Clock::now();
  main_started_at_ = began_at;
  state_.stop_deadline = resources_.page->stop_deadline();
  state_.main_alive = resources_.main.pid > 0;
  reap_ended();
  feed({.kind = core::RunEventKind::taken_over, .tree_empty = tree_empty(), .main_alive = state_.main_alive});
}

void RunLoop::run() {
  while (state_.phase != core::RunPhase::finished) {
    // Nobody sends word of the children that a bounded drain has left: SIGCHLD came once for all of them.
    const bool reap_on = reaping_on();
    const bool tell_further = telling();
    const auto source = resources_.loop.wait(reap_on || tell_further ? now_ : next_wakeup(), next_look());
    now_ = core::Clock::now();
    handle(source);
    if (tell_further && telling()) tell_on();
    if (reap_on) reap();
    look_for_adopted();
    const auto busy = std::chrono::duration_cast<std::chrono::microseconds>(core::Clock::now() - now_);
    report_.loop.max_stall_us = std::max(report_.loop.max_stall_us, std::int64_t{busy.count()});
    ++report_.loop.wakeups;
  }
  if (!state_.released) ledger_.note_survivors();
  ledger_.note_freed_ports();
  note_cgroup();
  report_.workdir = cleanup_.report();
  if (report_.workdir && state_.released) report_.workdir->kept = true;
}

void RunLoop::handle(std::optional<sys::EventLoop::Tag> source) {
  if (!source) {
    feed({.kind = core::RunEventKind::tick});
    show_progress();
    return;
  }
  if (*source >= kOutput) {
    on_output(*source);
    return;
  }
  switch (static_cast<Source>(*source)) {
    case kSignals: on_own_signal(); break;
    case kGuardMessage: on_guard_message(); break;
    case kGuardEnded:
      resources_.loop.remove(resources_.guard->pid_fd());
      resources_.guard.reset();  // closes the socket, which takes it out of the loop
      feed({.kind = core::RunEventKind::guard_died});
      break;
    case kMainEnded: reap_one(resources_.main.pid); break;
    case kDieWith:
      resources_.loop.remove(resources_.die_with.fd);
      feed({.kind = core::RunEventKind::die_with});
      break;
    case kCgroupChanged: on_cgroup_changed(); break;
    case kCgroupRemoval: remove_cgroup(); break;
    case kRemoval:
      if (cleanup_.ended()) removed(false);
      break;
    case kOutput: break;
  }
}

/// When the reader of the output is gone, the pipe breaks for the command once both reapctl processes have closed it.
void RunLoop::on_output(sys::EventLoop::Tag tag) {
  if (resources_.pump->handle(resources_.loop, tag) && resources_.guard) resources_.guard->tell_output_gone();
}

// --- signals

/// With a guard, our own signals are discarded: they were sent to the guard as well (by a control group, kill 0), which
/// passes them on, or were not meant for us. So one kill that reaches both counts once.
void RunLoop::on_own_signal() {
  const auto info = sys::next_signal(resources_.signal_fd.get());
  if (info && (!resources_.guard || info->ssi_signo == SIGCHLD)) on_signal(*info);
}

void RunLoop::on_guard_message() {
  const auto message = resources_.guard->receive();
  if (!message) {
    resources_.loop.remove(resources_.guard->socket());  // the guard is gone; kGuardEnded follows
    return;
  }
  switch (message->kind) {
    case GuardMessage::Kind::signal: on_signal(message->signal); break;
    case GuardMessage::Kind::resumed: resumed(); break;
    case GuardMessage::Kind::started:
    case GuardMessage::Kind::stop:
    case GuardMessage::Kind::hurry:
    case GuardMessage::Kind::output_gone:
    case GuardMessage::Kind::leave: break;  // ours to send
  }
}

void RunLoop::on_signal(const signalfd_siginfo& info) {
  switch (use_of(info, resources_.signals, plan_)) {
    case core::SignalUse::child_changed:
      if (!reaping_on()) reap();  // or it comes after this, and once a turn is enough
      break;
    case core::SignalUse::stop: stop_requested(info); break;
    case core::SignalUse::typed_interrupt: feed({.kind = core::RunEventKind::typed_interrupt}); break;
    case core::SignalUse::job_stop: on_job_stop(); break;
    case core::SignalUse::forward: forward(info); break;
    case core::SignalUse::ignore: break;
  }
}

void RunLoop::stop_requested(const signalfd_siginfo& info) {
  const int signal = static_cast<int>(info.ssi_signo);
  feed({.kind = core::RunEventKind::stop_signal, .signal = signal, .sender_pid = sender_of(info)});
  core::SignalAction action = core::SignalAction::ignored;
  if (state_.phase == core::RunPhase::stopping) {
    action = state_.ladder.requests <= 1                         ? core::SignalAction::stop
             : state_.ladder.phase == core::LadderPhase::killing ? core::SignalAction::kill
                                                                 : core::SignalAction::next_rung;
  }
  emit(core::SignalEvent{.signal = signal, .sender_pid = sender_of(info), .action = action});
}

void RunLoop::forward(const signalfd_siginfo& info) {
  const int received = static_cast<int>(info.ssi_signo);
  const int signal = core::mapped_signal(received, plan_);
  const bool heard = signal != 0 && state_.main_alive;
  if (heard && plan_.forward_to == core::ForwardTo::group) {
    if (resources_.signals.shared_group) {
      tree_.forward_to_group(signal, resources_.main.pid);
    } else {
      // Its own group, whose number is taken as long as its leader is not reaped. All at once, unlike one by one.
      (void)::kill(-resources_.main.pid, signal);
    }
  } else if (heard) {
    send_on(resources_.main.pid_fd.get(), signal, info);
  }
  emit(core::SignalEvent{.signal = received,
                         .sender_pid = sender_of(info),
                         .action = heard ? core::SignalAction::forwarded : core::SignalAction::ignored});
}

/// ^Z: the command has it too and decides whether it stops; if it does, follow_stopped_main stops us. Only when there
/// is no command any more to decide, and its leftovers have stopped, it is for us to let the shell have its terminal.
void RunLoop::on_job_stop() {
  const bool undecided = !state_.main_alive && state_.phase == core::RunPhase::waiting;
  if (undecided && resources_.signals.shared_group) stop_job();
}

/// A command that has stopped stops us, or the shell would wait for ever. Each stop does so once: another child may end
/// while it lasts.
void RunLoop::follow_stopped_main() {
  if (!resources_.signals.shared_group || !state_.main_alive || state_.phase != core::RunPhase::running) return;
  if (sys::take_stop(resources_.main.pid)) stop_job();
}

/// Stops the process that the shell knows: the guard, or us.
void RunLoop::stop_job() {
  ++unanswered_stops_;
  if (resources_.guard) {
    resources_.guard->ask_to_stop();  // it answers `resumed`
    return;
  }
  sys::stop_self();
  resumed();
}

/// `fg` has continued the command as well, and a new ^Z may have stopped it again before this is heard: that is to be
/// followed, not undone. In an orphaned group nobody could continue us, so there the kernel ignores the signal that
/// stops us; the command, if it has stopped itself, has not been continued by anybody, and that is for us to do.
void RunLoop::resumed() {
  --unanswered_stops_;
  if (!state_.main_alive || unanswered_stops_ > 0) return;  // by now it has been asked again
  const bool stopped_anew = sys::is_stopped(resources_.main.pid);
  if (stopped_anew && state_.phase == core::RunPhase::running) {
    follow_stopped_main();
  } else if (stopped_anew || !sys::take_continuation(resources_.main.pid)) {
    (void)sys::send_signal(resources_.main.pid_fd.get(), SIGCONT);
  }
}

// --- decisions and what follows from them

void RunLoop::feed(const core::RunEvent& event) {
  events_.push_back(event);
  if (events_.size() > 1) return;  // called from an action: the loop below gets to it
  while (!events_.empty()) {
    core::RunStep step = core::step(plan_.rules, state_, events_.front(), now_);
    state_ = std::move(step.state);
    share_deadline();
    for (const core::RunAction action : step.actions) perform(action);
    events_.pop_front();
  }
}

/// The guard sees by it whether we hang.
void RunLoop::share_deadline() {
  if (resources_.page == nullptr || !state_.stop_deadline) return;
  const std::int64_t before = resources_.page->stop_deadline_ns.exchange(
      std::chrono::nanoseconds(state_.stop_deadline->time_since_epoch()).count());
  if (before == 0 && resources_.guard) resources_.guard->tell_of_deadline();
}

void RunLoop::perform(core::RunAction action) {
  switch (action) {
    case core::RunAction::look: look(); break;
    case core::RunAction::tell: tell(false); break;
    case core::RunAction::tell_rest: tell(true); break;
    case core::RunAction::kill: kill(); break;
    case core::RunAction::hint:
      if (observer_.interrupt_hint) observer_.interrupt_hint();
      break;
    case core::RunAction::remove:
      stopped();
      remove_cgroup();
      break;
    case core::RunAction::abandon_removal: removed(true); break;
    case core::RunAction::finish: stopped(); break;
  }
}

core::Millis RunLoop::since_stop() const {
  return core::to_millis(now_ - state_.ladder.requested_at);
}

void RunLoop::look() {
  resources_.registration.stopping();
  report_.stop = core::StopReport{.requested_at = std::chrono::system_clock::now(),
                                  .after = core::to_millis(now_ - main_started_at_),
                                  .snapshot = ledger_.snapshot()};
  emit_adopted();
}

void RunLoop::tell(bool rest) {
  const core::Rung& rung = plan_.rules.ladder[state_.ladder.rung];
  const auto main = state_.main_alive ? std::optional(resources_.main.pid) : std::nullopt;
  if (!rest) ledger_.close_rung();
  const int told = tree_.tell(rung, plan_.scope, main, rest);
  if (!rest) ledger_.open_rung(core::rung_name(rung), since_stop());
  emit_adopted();
  if (told > 0) emit(core::RungEvent{.signal_name = core::rung_name(rung), .told = told});
}

/// The last tell() has not come to the end of those it found.
bool RunLoop::telling() const {
  return tree_.telling() && state_.phase == core::RunPhase::stopping &&
         state_.ladder.phase == core::LadderPhase::graceful;
}

void RunLoop::tell_on() {
  const core::Rung& rung = plan_.rules.ladder[state_.ladder.rung];
  emit(core::RungEvent{.signal_name = core::rung_name(rung), .told = tree_.tell_on(rung)});
}

void RunLoop::kill() {
  if (reap_first_ > 0 && unreaped_) return;  // the ladder asks again at once
  if (resources_.cgroup) {
    resources_.cgroup->evict(tree_.proc(), ::getpid());
    if (resources_.guard) resources_.cgroup->evict(tree_.proc(), resources_.guard->pid());
  }
  const bool first = !tree_.killing();
  if (first) ledger_.close_rung(tree_.begin_killing(unreaped_));
  const auto census = tree_.kill(now_);
  if (first) {
    ledger_.open_rung("KILL", since_stop());
    emit_adopted();
    emit(core::RungEvent{.signal_name = "KILL", .told = tree_.told()});
  }
  if (!census) return;  // the same
  reap_first_ = 2 * tree_.children_seen();
  feed({.kind = core::RunEventKind::census, .census = *census});
  // No event tells of the end of a process that was not our child.
  if (census->living == 0 && resources_.cgroup && tree_empty()) feed({.kind = core::RunEventKind::tree_empty});
}

}  // namespace reapctl::engine
