#include "engine/run_loop.hpp"

#include "core/exit_status.hpp"
#include "core/signal_name.hpp"
#include "sys/pid_fd.hpp"
#include "sys/signals.hpp"

#include <algorithm>
#include <csignal>
#include <sys/epoll.h>
#include <unistd.h>

namespace reapctl::engine {
namespace {

/// At least this many children are reaped in one go, and then signals and deadlines get their turn again: zombies may
/// come as fast as they are reaped (fact 20).
constexpr std::size_t kReapBatch = 256;

core::Millis to_millis(core::Clock::duration duration) {
  return std::chrono::duration_cast<core::Millis>(duration);
}

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

void RunLoop::take_over(core::TimePoint began_at) {
  now_ = core::Clock::now();
  main_started_at_ = began_at;
  state_.stop_deadline = resources_.page->stop_deadline();
  state_.main_alive = resources_.main.pid > 0;
  reap_backlog();
  feed({.kind = core::RunEventKind::taken_over, .tree_empty = tree_empty(), .main_alive = state_.main_alive});
}

void RunLoop::run() {
  while (state_.phase != core::RunPhase::finished) {
    // Nobody sends word of the children that a bounded drain has left: SIGCHLD came once for all of them.
    const bool reap_on = unreaped_;
    const auto source = resources_.loop.wait(reap_on ? now_ : next_wakeup(), next_look());
    now_ = core::Clock::now();
    handle(source);
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
    case kRemoval: removed(false); break;
    case kOutput: break;
  }
}

/// The pipe of a reader who is gone breaks for the command when both of us have let go of it.
void RunLoop::on_output(sys::EventLoop::Tag tag) {
  if (resources_.pump->handle(resources_.loop, tag) && resources_.guard) resources_.guard->tell_output_gone();
}

// --- signals

/// What is sent to us while we have a guard was sent to him as well (by a control group, kill 0), or was not meant for
/// us; he hears it and passes it on, so that one kill that reaches both counts once.
void RunLoop::on_own_signal() {
  const auto info = sys::next_signal(resources_.signal_fd.get());
  if (info && (!resources_.guard || info->ssi_signo == SIGCHLD)) on_signal(*info);
}

void RunLoop::on_guard_message() {
  const auto message = resources_.guard->receive();
  if (!message) {
    resources_.loop.remove(resources_.guard->socket());  // he is gone; his end is noticed by itself
    return;
  }
  switch (message->kind) {
    case GuardMessage::Kind::signal: on_signal(message->signal); break;
    case GuardMessage::Kind::resumed: continue_main(); break;
    case GuardMessage::Kind::stop:
    case GuardMessage::Kind::hurry:
    case GuardMessage::Kind::output_gone:
    case GuardMessage::Kind::leave: break;  // ours to send
  }
}

void RunLoop::on_signal(const signalfd_siginfo& info) {
  if (sys::is_ignored(static_cast<int>(info.ssi_signo))) return;  // as under nohup, by whoever started us
  const core::ReceivedSignal received{.number = static_cast<int>(info.ssi_signo),
                                      .from_kernel = info.ssi_code == SI_KERNEL};
  switch (core::classify(received, resources_.signals, plan_)) {
    case core::SignalUse::child_changed: reap(); break;
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
    siginfo_t queued{};
    queued.si_signo = signal;
    queued.si_code = SI_QUEUE;
    queued.si_pid = static_cast<pid_t>(info.ssi_pid);
    queued.si_uid = info.ssi_uid;
    queued.si_value.sival_ptr = reinterpret_cast<void*>(info.ssi_ptr);
    // The value of a queued signal goes along; a plain one comes from us, as kill(2) would send it.
    (void)sys::send_signal(resources_.main.pid_fd.get(), signal, info.ssi_code == SI_QUEUE ? &queued : nullptr);
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

/// A command that has stopped stops us, or the shell would wait for ever.
void RunLoop::follow_stopped_main() {
  if (!resources_.signals.shared_group || !state_.main_alive || state_.phase != core::RunPhase::running) return;
  if (sys::is_stopped(resources_.main.pid)) stop_job();
}

/// Stops the process that the shell knows: the guard, or us.
void RunLoop::stop_job() {
  if (resources_.guard) {
    resources_.guard->ask_to_stop();  // he answers `resumed`
    return;
  }
  sys::stop_self();
  continue_main();
}

/// In an orphaned group nobody could continue us, so there the kernel ignores the signal that stops. Whoever still runs
/// then, or runs again, continues the command; mostly `fg` has done it already.
void RunLoop::continue_main() {
  if (state_.main_alive && sys::is_stopped(resources_.main.pid)) {
    (void)sys::send_signal(resources_.main.pid_fd.get(), SIGCONT);
  }
}

// --- reaping

void RunLoop::reap() {
  follow_stopped_main();
  reap_ended();
  if (state_.main_alive) return;
  feed({.kind = tree_empty() ? core::RunEventKind::tree_empty : core::RunEventKind::tree_changed});
}

/// Reaps what has ended, or enough of it for one go.
void RunLoop::reap_ended() {
  reap_up_to(std::max(kReapBatch, 2 * tree_.children_seen()));
}

/// A command that never reaped its children leaves us their zombies, any number of them. They are no leftovers, so all
/// that are there now go before anybody is counted; not those that come meanwhile, which may be without end.
void RunLoop::reap_backlog() {
  reap_ended();
  if (unreaped_) reap_up_to(tree_.count_children());
}

void RunLoop::reap_up_to(std::size_t limit) {
  unreaped_ = true;
  for (std::size_t count = 0; count < limit; ++count) {
    const auto ended = sys::peek_ended_child();
    if (!ended) {
      unreaped_ = false;
      return;
    }
    reap_one(ended->info.si_pid);
  }
}

/// The child still holds its pid: what must be known of it is looked up before it is reaped.
void RunLoop::reap_one(pid_t pid) {
  const bool is_main = pid == resources_.main.pid && state_.main_alive;
  const bool is_ours = is_main || !tree_.is_strange_child(pid);
  const std::string comm = observer_.event && is_ours && !is_main ? tree_.comm(pid) : std::string();
  const auto child = sys::reap(pid);
  if (!child) return;
  if (is_main) {
    main_ended(*child);
    return;
  }
  if (!is_ours) {
    tree_.forget_stranger(pid);
    return;
  }
  ledger_.note_reaped(*child, now_);
  if (!observer_.event) return;
  emit_adopted();
  const core::ExitStatus exit = core::exit_status(child->info);
  if (!tree_.forget_adopted(pid)) emit(core::AdoptedEvent{.pid = pid, .comm = comm});
  emit(core::ExitedEvent{.pid = pid, .main = false, .code = exit.code, .signal = exit.signal});
}

void RunLoop::main_ended(const sys::ChildEnd& child) {
  resources_.loop.remove(resources_.main.pid_fd.get());
  resources_.main.pid_fd.reset();  // the cleanup may be short of descriptors
  report_.exit = core::exit_status(child.info);
  report_.main->duration = to_millis(now_ - main_started_at_);
  report_.main->rusage = resource_usage(child.usage);
  ledger_.note_main(child);
  if (resources_.page != nullptr) {
    resources_.page->main_wait_status.store(child.info.si_status);
    resources_.page->main_wait_code.store(child.info.si_code);
  }
  emit(core::ExitedEvent{
      .pid = child.info.si_pid, .main = true, .code = report_.exit->code, .signal = report_.exit->signal});
  state_.main_alive = false;
  reap_backlog();
  const bool empty = tree_empty();
  if (!empty) {
    const int count = ledger_.note_leftovers(now_);
    emit_adopted();
    emit(core::LeftEvent{.count = count});
    resources_.registration.leave(ledger_.leftovers());
  }
  feed({.kind = core::RunEventKind::main_exited, .tree_empty = empty});
}

/// Nothing is left: no child, dead or alive, and nobody in the cgroup. As a subreaper we inherit every orphan, so a
/// living descendant always has a living ancestor among our children; who is in the cgroup may be no descendant.
bool RunLoop::tree_empty() {
  if (sys::has_children() && !(tree_.has_strangers() && tree_.living().empty())) return false;
  return !somebody_in_cgroup();
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
  return to_millis(now_ - state_.ladder.requested_at);
}

void RunLoop::look() {
  resources_.registration.stopping();
  report_.stop = core::StopReport{.requested_at = std::chrono::system_clock::now(),
                                  .after = to_millis(now_ - main_started_at_),
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

void RunLoop::kill() {
  const bool first = !tree_.killing();
  if (first) ledger_.close_rung();
  if (resources_.cgroup) {
    resources_.cgroup->evict(tree_.proc(), ::getpid());
    if (resources_.guard) resources_.cgroup->evict(tree_.proc(), resources_.guard->pid());
  }
  const core::Census census = tree_.kill(now_);
  if (first) {
    ledger_.open_rung("KILL", since_stop());
    emit_adopted();
    emit(core::RungEvent{.signal_name = "KILL", .told = tree_.told()});
  }
  feed({.kind = core::RunEventKind::census, .census = census});
  // Of those who were no children of ours nobody may have told that they are gone.
  if (census.living == 0 && resources_.cgroup && tree_empty()) feed({.kind = core::RunEventKind::tree_empty});
}

}  // namespace reapctl::engine
