#pragma once

#include "core/ladder.hpp"
#include "core/report.hpp"
#include "core/time.hpp"

#include <optional>
#include <vector>

/// The state machine of one run: what to do about each thing that can happen, in each phase. Pure and total; it
/// decides, the runner acts.
namespace reapctl::core {

enum class Leftovers { stop, wait, leave };

/// What the machine needs of the plan.
struct SupervisionRules {
  Ladder ladder;
  Leftovers leftovers = Leftovers::stop;
  std::optional<Millis> timeout;
  std::optional<Millis> stop_timeout;
};

enum class RunPhase {
  starting,  ///< the command does not exist yet
  running,   ///< the main command is alive and nobody wants it to stop
  waiting,   ///< the main command has ended, its descendants may take their time (--leftovers wait)
  stopping,  ///< the ladder is at work
  removing,  ///< everything is dead, the work directory goes
  finished,
};

struct Stop {
  StopCause cause = StopCause::signal;
  std::optional<int> signal;
  std::optional<int> sender_pid;
  TimePoint at;
};

struct RunState {
  RunPhase phase = RunPhase::starting;
  LadderState ladder;
  std::optional<Stop> stop;
  bool main_alive = false;
  bool asked = false;     ///< a received signal has asked for the stop: the next one goes on to the next rung
  bool released = false;  ///< --leftovers leave, and somebody is left
  bool stop_timeout_hit = false;
  std::optional<TimePoint> run_deadline;
  std::optional<TimePoint> stop_deadline;
  int interrupts = 0;  ///< typed ^C in a row
  TimePoint last_interrupt;
};

enum class RunEventKind {
  started,
  start_failed,
  stop_signal,      ///< a signal of --stop-on that did not come from the keyboard
  typed_interrupt,  ///< ^C: the command in our process group has it already
  guard_died,       ///< the other reapctl process is gone: nobody would clean up after us
  taken_over,       ///< the supervisor is gone and we, its guard, go on in its place; the first event here
  die_with,         ///< the process or pipe of --die-with is gone
  tick,             ///< the deadline of next_deadline() has come
  main_exited,      ///< the main command was reaped
  tree_changed,     ///< some other process was reaped
  tree_empty,       ///< the last process was reaped
  census,           ///< a pass of killing is over
  removed,          ///< the work directory is gone, or what could be deleted of it
};

struct RunEvent {
  RunEventKind kind = RunEventKind::tick;
  std::optional<int> signal;      ///< stop_signal
  std::optional<int> sender_pid;  ///< stop_signal
  bool tree_empty = false;        ///< main_exited, taken_over: nobody else is left
  bool main_alive = false;        ///< taken_over
  Census census;                  ///< census
};

/// What the runner is to do, in this order.
enum class RunAction {
  look,       ///< record the tree as it is now, before it is told anything
  tell,       ///< the current rung to the processes of --scope
  tell_rest,  ///< the current rung to those that have not heard it: the main command has ended before them
  kill,       ///< SIGKILL to everything there is now; answer with a census
  hint,       ///< "once more to stop everything"
  remove,     ///< delete the work directory; answer with `removed`
  abandon_removal,
  finish,
};

struct RunStep {
  RunState state;
  std::vector<RunAction> actions;
};

/// Two ^C count as belonging together within this time.
inline constexpr Millis kInterruptWindow{2000};

[[nodiscard]] RunStep step(const SupervisionRules& rules, const RunState& state, const RunEvent& event, TimePoint now);

/// When `tick` is due next; nullopt when time alone changes nothing.
[[nodiscard]] std::optional<TimePoint> next_deadline(const RunState& state);

/// How much of --stop-timeout the graceful rungs may use: the rest, a tenth but at most a second, is for dying and
/// for deleting, so that the exit falls within the limit.
[[nodiscard]] Millis graceful_share(Millis stop_timeout);

}  // namespace reapctl::core
