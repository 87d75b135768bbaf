#include "core/supervision.hpp"

#include <algorithm>
#include <csignal>
#include <utility>

namespace reapctl::core {
namespace {

class Transition {
 public:
  Transition(const SupervisionRules& rules, RunState state, TimePoint now)
      : rules_(rules), state_(std::move(state)), now_(now) {}

  RunStep on(const RunEvent& event) && {
    switch (state_.phase) {
      case RunPhase::starting: starting(event); break;
      case RunPhase::running: running(event); break;
      case RunPhase::waiting: waiting(event); break;
      case RunPhase::stopping: stopping(event); break;
      case RunPhase::removing: removing(event); break;
      case RunPhase::finished: break;
    }
    return {.state = std::move(state_), .actions = std::move(actions_)};
  }

 private:
  void starting(const RunEvent& event) {
    switch (event.kind) {
      case RunEventKind::started:
        state_.phase = RunPhase::running;
        state_.main_alive = true;
        if (rules_.timeout) state_.run_deadline = now_ + *rules_.timeout;
        break;
      case RunEventKind::start_failed: remove(); break;
      case RunEventKind::stop_signal:
      case RunEventKind::guard_died:
      case RunEventKind::die_with:
        record_stop(event);
        remove();
        break;
      case RunEventKind::taken_over: {
        const bool was_stopping = state_.stop_deadline.has_value();
        state_.main_alive = event.main_alive;
        begin_stop(event);
        if (was_stopping) state_.stop_deadline = std::max(*state_.stop_deadline, now_ + kGuardsChance);
        if (event.tree_empty) emptied();
        break;
      }
      case RunEventKind::typed_interrupt:
      case RunEventKind::tick:
      case RunEventKind::main_exited:
      case RunEventKind::tree_changed:
      case RunEventKind::tree_empty:
      case RunEventKind::census:
      case RunEventKind::removed: break;
    }
  }

  void running(const RunEvent& event) {
    switch (event.kind) {
      case RunEventKind::stop_signal:
      case RunEventKind::guard_died:
      case RunEventKind::die_with: begin_stop(event); break;
      case RunEventKind::taken_over: break;
      case RunEventKind::typed_interrupt: typed_interrupt(); break;
      case RunEventKind::tick:
        if (deadline_passed(state_.run_deadline)) begin_stop(event);
        break;
      case RunEventKind::main_exited: main_gone(event); break;
      case RunEventKind::started:
      case RunEventKind::start_failed:
      case RunEventKind::tree_changed:
      case RunEventKind::tree_empty:
      case RunEventKind::census:
      case RunEventKind::removed: break;
    }
  }

  void waiting(const RunEvent& event) {
    switch (event.kind) {
      case RunEventKind::stop_signal:
      case RunEventKind::guard_died:
      case RunEventKind::die_with: begin_stop(event); break;
      case RunEventKind::taken_over: break;
      case RunEventKind::typed_interrupt: typed_interrupt(); break;
      case RunEventKind::tick:
        if (deadline_passed(state_.run_deadline)) begin_stop(event);
        break;
      case RunEventKind::tree_empty: remove(); break;
      case RunEventKind::started:
      case RunEventKind::start_failed:
      case RunEventKind::main_exited:
      case RunEventKind::tree_changed:
      case RunEventKind::census:
      case RunEventKind::removed: break;
    }
  }

  void stopping(const RunEvent& event) {
    switch (event.kind) {
      case RunEventKind::stop_signal:
      case RunEventKind::typed_interrupt:
        // A request outranks "the main command has left processes behind" as the reason.
        if (state_.stop && state_.stop->cause == StopCause::leftovers) record_stop(event);
        // A ladder that nobody has asked for yet is what the first request wants: one signal to a whole control group
        // ends the main command, or the parent, before we read our copy, and must not skip the graceful rungs.
        if (std::exchange(state_.asked, true)) ladder(LadderEvent::request);
        break;
      case RunEventKind::tick:
        // Late (we were stopped ourselves, or frozen) is no reason to leave somebody alive: the kill comes first.
        if (deadline_passed(state_.stop_deadline) && state_.ladder.phase == LadderPhase::killing) {
          state_.stop_timeout_hit = true;
          give_up();
          break;
        }
        ladder(LadderEvent::tick);
        break;
      case RunEventKind::main_exited:
        state_.main_alive = false;
        if (event.tree_empty) {
          emptied();
        } else {
          if (state_.ladder.phase == LadderPhase::graceful) actions_.push_back(RunAction::tell_rest);
          ladder(LadderEvent::changed);
        }
        break;
      case RunEventKind::tree_changed: ladder(LadderEvent::changed); break;
      case RunEventKind::tree_empty: emptied(); break;
      case RunEventKind::census:
        state_.ladder = after_census(state_.ladder, event.census, now_);
        if (state_.ladder.phase == LadderPhase::over) give_up();
        break;
      case RunEventKind::guard_died: record_stop(event); break;  // the ladder is at work already
      case RunEventKind::die_with:
      case RunEventKind::taken_over:
      case RunEventKind::started:
      case RunEventKind::start_failed:
      case RunEventKind::removed: break;
    }
  }

  /// A stop request during the cleanup never abandons it; it only starts the clock of --stop-timeout.
  void removing(const RunEvent& event) {
    switch (event.kind) {
      case RunEventKind::stop_signal:
      case RunEventKind::typed_interrupt:
      case RunEventKind::die_with:
        if (!state_.stop_deadline) set_stop_deadline();
        break;
      case RunEventKind::guard_died: record_stop(event); break;
      case RunEventKind::tick:
        if (deadline_passed(state_.stop_deadline)) {
          state_.stop_timeout_hit = true;
          actions_.push_back(RunAction::abandon_removal);
          finish();
        }
        break;
      case RunEventKind::removed: finish(); break;
      case RunEventKind::taken_over:
      case RunEventKind::started:
      case RunEventKind::start_failed:
      case RunEventKind::main_exited:
      case RunEventKind::tree_changed:
      case RunEventKind::tree_empty:
      case RunEventKind::census: break;
    }
  }

  void main_gone(const RunEvent& event) {
    state_.main_alive = false;
    if (event.tree_empty) {
      remove();
      return;
    }
    switch (rules_.leftovers) {
      case Leftovers::stop: begin_stop(event); break;
      case Leftovers::wait: state_.phase = RunPhase::waiting; break;
      case Leftovers::leave:
        state_.released = true;
        finish();
        break;
    }
  }

  void typed_interrupt() {
    const bool in_a_row = state_.interrupts > 0 && now_ - state_.last_interrupt <= kInterruptWindow;
    state_.interrupts = in_a_row ? state_.interrupts + 1 : 1;
    state_.last_interrupt = now_;
    if (state_.interrupts == 2) actions_.push_back(RunAction::hint);
    if (state_.interrupts >= 3)
      begin_stop({.kind = RunEventKind::stop_signal, .signal = SIGINT, .sender_pid = {}, .census = {}});
  }

  void begin_stop(const RunEvent& event) {
    record_stop(event);
    state_.asked = event.kind == RunEventKind::stop_signal;
    state_.phase = RunPhase::stopping;
    actions_.push_back(RunAction::look);
    ladder(LadderEvent::request);
  }

  void record_stop(const RunEvent& event) {
    Stop stop{.cause = StopCause::signal, .signal = event.signal, .sender_pid = event.sender_pid, .at = now_};
    if (event.kind == RunEventKind::typed_interrupt) stop.signal = SIGINT;
    if (event.kind == RunEventKind::die_with) stop.cause = StopCause::die_with;
    if (event.kind == RunEventKind::guard_died) stop.cause = StopCause::guard_death;
    if (event.kind == RunEventKind::taken_over) stop.cause = StopCause::supervisor_death;
    if (event.kind == RunEventKind::tick) stop.cause = StopCause::timeout;
    if (event.kind == RunEventKind::main_exited) stop.cause = StopCause::leftovers;
    if (state_.stop) stop.at = state_.stop->at;  // the ladder's timeline began then
    state_.stop = stop;
    if (!state_.stop_deadline) set_stop_deadline();
  }

  void set_stop_deadline() {
    if (rules_.stop_timeout) state_.stop_deadline = now_ + std::max(*rules_.stop_timeout, kLastChance);
  }

  /// Until --stop-timeout is over, which may have been running before we took over.
  [[nodiscard]] Millis time_left() const {
    if (!state_.stop_deadline) return Millis::max();
    return std::max(to_millis(*state_.stop_deadline - now_), Millis(0));
  }

  void ladder(LadderEvent event) {
    std::optional<Millis> limit;
    if (rules_.stop_timeout) limit = graceful_share(std::min(*rules_.stop_timeout, time_left()));
    const LadderStep next = step(rules_.ladder, state_.ladder, event, now_, limit);
    const bool killing_begins = next.state.phase == LadderPhase::killing && state_.ladder.phase != LadderPhase::killing;
    if (killing_begins && now_ >= next.state.kill_by) state_.stop_timeout_hit = true;
    if (killing_begins && state_.stop_deadline) {
      state_.stop_deadline = std::max(*state_.stop_deadline, now_ + kLastChance);
    }
    state_.ladder = next.state;
    if (next.action == LadderAction::tell) actions_.push_back(RunAction::tell);
    if (next.action == LadderAction::kill) actions_.push_back(RunAction::kill);
  }

  void emptied() {
    ladder(LadderEvent::emptied);
    remove();
  }

  /// A process cannot be killed. It may be using the work directory, so that stays.
  void give_up() {
    state_.ladder.phase = LadderPhase::over;
    finish();
  }

  void remove() {
    state_.phase = RunPhase::removing;
    actions_.push_back(RunAction::remove);
  }

  void finish() {
    state_.phase = RunPhase::finished;
    actions_.push_back(RunAction::finish);
  }

  [[nodiscard]] bool deadline_passed(const std::optional<TimePoint>& deadline) const {
    return deadline && now_ >= *deadline;
  }

  /// When time is up, the kernel still needs a moment to end what was killed, and reapctl to delete.
  static constexpr Millis kLastChance{100};
  /// The same for a guard that takes over from a supervisor that hung until it was killed, and used up the time.
  static constexpr Millis kGuardsChance{1000};

  const SupervisionRules& rules_;
  RunState state_;
  TimePoint now_;
  std::vector<RunAction> actions_;
};

}  // namespace

RunStep step(const SupervisionRules& rules, const RunState& state, const RunEvent& event, TimePoint now) {
  return Transition(rules, state, now).on(event);
}

std::optional<TimePoint> next_deadline(const RunState& state) {
  std::optional<TimePoint> next;
  const auto consider = [&next](TimePoint at) { next = next ? std::min(*next, at) : at; };
  switch (state.phase) {
    case RunPhase::running:
    case RunPhase::waiting:
      if (state.run_deadline) consider(*state.run_deadline);
      break;
    case RunPhase::stopping:
      consider(state.ladder.next_at);
      if (state.stop_deadline) consider(*state.stop_deadline);
      break;
    case RunPhase::removing:
      if (state.stop_deadline) consider(*state.stop_deadline);
      break;
    case RunPhase::starting:
    case RunPhase::finished: break;
  }
  return next;
}

Millis graceful_share(Millis stop_timeout) {
  return stop_timeout - std::min(stop_timeout / 10, Millis(1000));
}

}  // namespace reapctl::core
