#pragma once

#include "core/plan.hpp"
#include "core/record.hpp"
#include "core/report.hpp"
#include "core/signal_policy.hpp"
#include "engine/die_with.hpp"
#include "engine/named_lock.hpp"
#include "engine/output.hpp"
#include "engine/run_ground.hpp"
#include "engine/runner.hpp"
#include "proc/proc_fs.hpp"
#include "sys/event_loop.hpp"
#include "sys/result.hpp"
#include "sys/unique_fd.hpp"

#include <functional>
#include <optional>
#include <string>
#include <utility>

namespace reapctl::engine {

/// What comes before a run: the splay, then the turn at the lock. There is one reapctl process then, no record, no
/// directory and no command, so a request to stop ends it at once, and so does SIGKILL.
class Prelude {
 public:
  enum class End {
    go_on,
    stopped,  ///< by a signal or --die-with: the report says which
    overlap,  ///< another run has the lock: the report's warnings say which
  };

  Prelude(const core::RunPlan& plan, const core::RecordCodec& codec, const proc::ProcFs& proc, std::string run_id,
          core::RunReport& report)
      : plan_(plan), codec_(codec), proc_(proc), run_id_(std::move(run_id)), report_(report) {}

  /// Waits for as long as it takes. After `go_on` the lock, if there is one, is ours and signed. Error: the lock cannot
  /// be had for a reason other than another run; then its text names the option.
  [[nodiscard]] sys::Result<End> run(const DieWithWatch& die_with, const core::SignalContext& signals);

  /// For the delivery of the report when the run is over with this: a request to stop ends it.
  [[nodiscard]] GiveUp give_up();

  [[nodiscard]] NamedLock take_lock() { return std::move(lock_); }

 private:
  enum Source : sys::EventLoop::Tag { kSignalCame, kWatchedDied, kAwaitedReady };
  enum class Former { gone, alive, stopped };

  [[nodiscard]] sys::Result<void> listen(const DieWithWatch& die_with);
  /// Until `until`, or until `fd` is readable; false after a request to stop.
  [[nodiscard]] bool wait(std::optional<core::TimePoint> until, int fd = -1);
  void on_signal();
  void note_stop(core::StopCause cause, std::optional<int> signal, std::optional<pid_t> sender);

  [[nodiscard]] sys::Result<End> turn_at_the_lock();
  [[nodiscard]] sys::Result<Former> see_off_former_holders();
  [[nodiscard]] sys::Result<Former> see_off(const std::string& run_id);
  [[nodiscard]] sys::Result<Former> finish(const std::string& run_id);
  [[nodiscard]] core::LockHolder find_holder() const;
  [[nodiscard]] std::optional<core::LockHolder> holder_on_record(const std::string& run_id) const;
  [[nodiscard]] sys::Result<End> give_way(const core::LockHolder& holder);
  [[nodiscard]] bool await_end_of(const core::LockHolder& holder);
  /// Runs `work` in a helper process; nullopt after a request to stop.
  [[nodiscard]] sys::Result<std::optional<std::string>> answer_of(const std::function<std::string()>& work);

  const core::RunPlan& plan_;
  const core::RecordCodec& codec_;
  const proc::ProcFs& proc_;
  std::string run_id_;
  core::RunReport& report_;
  core::SignalContext signals_;
  core::TimePoint began_at_;
  std::optional<sys::EventLoop> loop_;
  sys::UniqueFd signal_fd_;
  bool stopped_ = false;
  NamedLock lock_;
  std::string former_;  ///< the former holder, if its tree is alive by a run that was started inside of it
  std::string inside_;  ///< that run
  std::optional<core::TimePoint> wait_until_;  ///< of --on-overlap wait=DUR
};

/// The prelude of a run, from its ground as it is before prepare(). The result is the lock of --lock; nullopt: the run
/// ended here, and its report is delivered. Error: as of Prelude::run.
[[nodiscard]] sys::Result<std::optional<NamedLock>> wait_before_start(const core::RunPlan& plan,
                                                                      const RunSetting& setting,
                                                                      const proc::ProcFs& proc, const RunGround& ground,
                                                                      core::RunReport& report);

/// How a run ends whose prelude ended it, by its report.
[[nodiscard]] RunOutcome outcome_before_start(const core::RunReport& report, const core::SignalContext& signals);

}  // namespace reapctl::engine
