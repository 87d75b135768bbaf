#pragma once

#include "core/plan.hpp"
#include "core/removal_display.hpp"
#include "core/report.hpp"
#include "core/signal_policy.hpp"
#include "core/supervision.hpp"
#include "engine/adoption_watch.hpp"
#include "engine/cleanup.hpp"
#include "engine/die_with.hpp"
#include "engine/guard.hpp"
#include "engine/ledger.hpp"
#include "engine/named_lock.hpp"
#include "engine/registration.hpp"
#include "engine/run_cgroup.hpp"
#include "engine/runner.hpp"
#include "engine/shared_page.hpp"
#include "engine/spawn.hpp"
#include "engine/tail_pump.hpp"
#include "engine/tree.hpp"
#include "engine/workdir.hpp"
#include "sys/children.hpp"
#include "sys/event_loop.hpp"
#include "sys/unique_fd.hpp"

#include <deque>
#include <optional>
#include <string>
#include <sys/signalfd.h>

namespace reapctl::engine {

/// What a run holds while it runs.
struct RunResources {
  sys::EventLoop loop;
  sys::UniqueFd signal_fd;
  DieWithWatch die_with;
  NamedLock lock;  ///< of --lock: held for as long as this process lives
  Registration registration;
  std::optional<RunCgroup> cgroup;
  std::optional<Workdir> workdir;
  core::SignalContext signals;
  std::optional<GuardLink> guard;  ///< while it lives
  SharedPage* page = nullptr;      ///< with a guard
  TailPump* pump = nullptr;        ///< with --tail
  Spawned main;                    ///< pid -1 until it is started, and when that failed
};

/// What the loop can wait for.
enum Source : sys::EventLoop::Tag {
  kSignals,
  kGuardMessage,
  kGuardEnded,
  kMainEnded,
  kDieWith,
  kCgroupChanged,
  kCgroupRemoval,
  kRemoval,
  kOutput,  ///< and the three behind it
};

/// The one loop of a run: descriptor or deadline -> RunEvent -> core::step -> RunAction -> perform. Writes what it
/// sees into the report.
class RunLoop {
 public:
  RunLoop(const core::RunPlan& plan, const RunObserver& observer, RunResources& resources, Tree& tree, Ledger& ledger,
          core::RunReport& report);

  /// Tells the machine how the start went.
  void begin(core::RunEventKind kind, core::TimePoint at);

  /// To be called after `begin` when the exec was given up: hears what has come and why, before the end of the command.
  void hear_why_unwanted();

  /// Goes on in place of a supervisor that died, with what that left of a run that began at `began_at`.
  void take_over(core::TimePoint began_at);

  /// Until the run is finished.
  void run();

  [[nodiscard]] const core::RunState& state() const { return state_; }
  /// Whether the cgroup, the directory and whatever else should go has gone.
  [[nodiscard]] bool cleaned_up() const {
    return cleanup_.complete() && (!resources_.cgroup || resources_.cgroup->is_gone());
  }

 private:
  void handle(std::optional<sys::EventLoop::Tag> source);

  void on_own_signal();
  void on_guard_message();
  void on_output(sys::EventLoop::Tag tag);
  void on_signal(const signalfd_siginfo& info);
  void stop_requested(const signalfd_siginfo& info);
  void forward(const signalfd_siginfo& info);
  void on_job_stop();
  void follow_stopped_main();
  void stop_job();
  void resumed();

  [[nodiscard]] bool reaping_on() const { return unreaped_ || backlog_; }
  void reap();
  void reap_ended();
  void reap_one(pid_t pid);
  void main_ended(const sys::ChildEnd& child);
  void count_leftovers();
  bool tree_empty();
  bool somebody_in_cgroup();
  void on_cgroup_changed();

  void feed(const core::RunEvent& event);
  void share_deadline();
  void perform(core::RunAction action);
  void look();
  void tell(bool rest);
  void tell_on();
  [[nodiscard]] bool telling() const;
  void kill();
  void stopped();
  void remove_cgroup();
  void remove_workdir();
  void note_cgroup();
  void removed(bool abandoned);
  void show_progress();
  [[nodiscard]] core::Millis since_stop() const;
  [[nodiscard]] std::optional<core::TimePoint> next_wakeup() const;
  [[nodiscard]] std::optional<core::TimePoint> next_look() const;
  void look_for_adopted();

  /// Emits an event for each process that has become our child, before any other event about it.
  void emit_adopted();

  template <class What>
  void emit(What what) const {
    if (observer_.event) observer_.event({.at = std::chrono::system_clock::now(), .what = std::move(what)});
  }

  const core::RunPlan& plan_;
  const RunObserver& observer_;
  RunResources& resources_;
  Tree& tree_;
  Ledger& ledger_;
  core::RunReport& report_;
  Cleanup cleanup_;
  AdoptionWatch adoptions_;
  bool cgroup_unwatched_ = false;
  sys::UniqueFd cgroup_turn_;                    ///< always readable, while parts of the cgroup wait to be removed
  std::string cgroup_problem_;                   ///< why it could not be removed
  std::optional<core::RemovalDisplay> display_;  ///< while a thread deletes
  core::RunState state_;
  std::deque<core::RunEvent> events_;  ///< what an action led to, handled before anything else
  core::TimePoint now_;                ///< of the event being handled
  core::TimePoint main_started_at_;
  bool ladder_closed_ = false;
  int unanswered_stops_ = 0;  ///< requests to the guard to stop that it has not answered by `resumed`
  bool unreaped_ = false;     ///< the last drain has stopped at its bound, there may be more
  /// How many are to be reaped before the next kill: reaping fewer than a kill has found would let them pile up.
  std::size_t reap_first_ = 0;
  /// Set when the main command has ended: after so many more are reaped, or none is left, its leftovers are counted.
  std::optional<std::size_t> backlog_;
};

}  // namespace reapctl::engine
