#include "engine/prelude.hpp"

#include "core/exit_status.hpp"
#include "core/overlap.hpp"
#include "core/splay.hpp"
#include "engine/give_up.hpp"
#include "engine/run_facts.hpp"
#include "proc/host.hpp"
#include "sys/signals.hpp"

#include <chrono>
#include <csignal>
#include <sys/epoll.h>

namespace reapctl::engine {

sys::Result<Prelude::End> Prelude::run(const DieWithWatch& die_with, const core::SignalContext& signals) {
  began_at_ = core::Clock::now();
  signals_ = signals;
  if (auto listening = listen(die_with); !listening) return listening.error();
  if (die_with.gone_already) note_stop(core::StopCause::die_with, {}, {});
  const core::Millis splay = core::splay_offset(proc::machine_id(proc_), plan_.name, plan_.splay);
  if (stopped_ || (splay > core::Millis::zero() && !wait(began_at_ + splay))) return End::stopped;
  if (!plan_.lock) return End::go_on;
  auto end = turn_at_the_lock();
  if (end) return end;
  sys::Error error = end.error();
  error.operation.insert(0, "--lock: ");
  return error;
}

sys::Result<void> Prelude::listen(const DieWithWatch& die_with) {
  auto loop = sys::EventLoop::create();
  if (!loop) return loop.error();
  auto signal_fd = sys::open_signal_fd();
  if (!signal_fd) return signal_fd.error();
  signal_fd_ = signal_fd.take();
  loop_.emplace(loop.take());
  if (auto added = loop_->add(signal_fd_.get(), EPOLLIN, kSignalCame); !added) return added;
  if (die_with.fd < 0) return {};
  return loop_->add(die_with.fd, die_with.events, kWatchedDied);
}

bool Prelude::wait(std::optional<core::TimePoint> until, int fd) {
  // What cannot be watched is waited for by the clock alone; every caller looks again.
  const bool watched = fd >= 0 && loop_->add(fd, EPOLLIN, kAwaitedReady).ok();
  if (fd >= 0 && !watched && !until) until = core::Clock::now() + std::chrono::milliseconds(100);
  bool over = false;
  while (!over && !stopped_) {
    const auto source = loop_->wait(until);
    if (!source) {
      over = until && core::Clock::now() >= *until;
    } else if (*source == kSignalCame) {
      on_signal();
    } else if (*source == kWatchedDied) {
      note_stop(core::StopCause::die_with, {}, {});
    } else {
      over = true;
    }
  }
  if (watched) loop_->remove(fd);
  return !stopped_;
}

void Prelude::on_signal() {
  const auto info = sys::next_signal(signal_fd_.get());
  if (!info) return;
  const core::ReceivedSignal signal = received(*info);
  switch (core::classify_before_start(signal, signals_, plan_)) {
    case core::SignalUse::job_stop: sys::stop_self(); break;
    case core::SignalUse::stop: {
      const bool somebody = !signal.from_kernel && info->ssi_pid != 0;
      note_stop(core::StopCause::signal, signal.number,
                somebody ? std::optional(static_cast<pid_t>(info->ssi_pid)) : std::nullopt);
      break;
    }
    case core::SignalUse::child_changed:
    case core::SignalUse::typed_interrupt:
    case core::SignalUse::forward:
    case core::SignalUse::ignore: break;
  }
}

GiveUp Prelude::give_up() {
  return {.fd = signal_fd_.get(), .asked = [this] {
            stopped_ = false;
            on_signal();
            return stopped_ ? Asked::yes : Asked::no;
          }};
}

void Prelude::note_stop(core::StopCause cause, std::optional<int> signal, std::optional<pid_t> sender) {
  stopped_ = true;
  core::StopReport stop;
  stop.cause = cause;
  stop.signal = signal;
  stop.sender_pid = sender;
  stop.requested_at = std::chrono::system_clock::now();
  stop.after = core::to_millis(core::Clock::now() - began_at_);
  report_.stop = stop;
}

sys::Result<std::optional<NamedLock>> wait_before_start(const core::RunPlan& plan, const RunSetting& setting,
                                                        const proc::ProcFs& proc, const RunGround& ground,
                                                        core::RunReport& report) {
  Prelude prelude(plan, *setting.record_codec, proc, setting.run_id, report);
  const auto end = prelude.run(ground.die_with, ground.signals);
  if (!end) return end.error();
  if (*end == Prelude::End::go_on) return std::optional(prelude.take_lock());
  const bool overlap = *end == Prelude::End::overlap;
  report.result = overlap ? core::RunResult::overlap : core::RunResult::stopped;
  report.exit_code =
      overlap ? core::overlap_exit_code(plan.lock->on_overlap) : core::exit_code_before_start(report.stop->signal);
  add_surroundings(proc, ground.known_as, ground.parent, report);
  report.ended_at = std::chrono::system_clock::now();
  report.duration = core::to_millis(core::Clock::now() - ground.began_at);
  setting.deliver(report, prelude.give_up(), nullptr);
  return std::optional<NamedLock>();
}

RunOutcome outcome_before_start(const core::RunReport& report, const core::SignalContext& signals) {
  const bool interrupted = report.stop && report.stop->signal == SIGINT;
  return {.exit_code = report.exit_code, .die_of_interrupt = signals.shared_group && interrupted};
}

}  // namespace reapctl::engine
