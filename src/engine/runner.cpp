#include "engine/runner.hpp"

#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <deque>
#include <optional>

#include "core/signal_name.hpp"
#include "core/signal_policy.hpp"
#include "engine/die_with.hpp"
#include "engine/ledger.hpp"
#include "engine/run_facts.hpp"
#include "engine/spawn.hpp"
#include "engine/tree.hpp"
#include "engine/workdir.hpp"
#include "engine/workdir_cleanup.hpp"
#include "proc/proc_fs.hpp"
#include "sys/children.hpp"
#include "sys/descriptors.hpp"
#include "sys/event_loop.hpp"
#include "sys/pid_fd.hpp"
#include "sys/terminal.hpp"

extern char** environ;

namespace reapctl::engine {
namespace {

enum Source : sys::EventLoop::Tag { kSignals, kMainEnded, kDieWith, kRemoval };

/// At most this many children are reaped before signals and deadlines get their turn again: zombies may come as fast
/// as they are reaped (fact 20).
constexpr int kReapBatch = 256;

core::Millis to_millis(core::Clock::duration duration) { return std::chrono::duration_cast<core::Millis>(duration); }

class Runner {
 public:
  Runner(const core::RunPlan& plan, const RunSetting& setting, const RunObserver& observer)
      : plan_(plan), setting_(setting), observer_(observer), tree_(proc_, "REAPCTL_COOKIE_" + setting.run_id + "=1"), ledger_(proc_, tree_) {}

  sys::Result<void> prepare();
  RunOutcome supervise();

 private:
  sys::Result<void> prepare_workdir();
  void start();
  void let_go();
  void handle(std::optional<sys::EventLoop::Tag> source);

  void on_signal(const signalfd_siginfo& info);
  void stop_requested(const signalfd_siginfo& info);
  void forward(const signalfd_siginfo& info);
  void on_job_stop();
  void follow_stopped_main();
  void reap();
  void reap_main();
  void main_ended(const sys::ChildEnd& child);
  bool tree_empty();

  void feed(core::RunEvent event);
  void perform(core::RunAction action);
  void tell(bool rest);
  void kill();
  void remove();
  void removed();
  RunOutcome conclude();

  template <class What>
  void emit(What what) const {
    if (observer_.event) observer_.event({.at = std::chrono::system_clock::now(), .what = std::move(what)});
  }
  void warn(std::string text) { report_.warnings.push_back(std::move(text)); }

  const core::RunPlan& plan_;
  const RunSetting& setting_;
  const RunObserver& observer_;
  proc::ProcFs proc_;
  Tree tree_;
  Ledger ledger_;
  core::RunReport report_;
  core::RunState state_;
  std::deque<core::RunEvent> pending_;
  core::TimePoint now_ = core::Clock::now();  ///< of the event being handled
  core::TimePoint started_at_ = now_;

  std::optional<sys::EventLoop> loop_;
  sys::UniqueFd signal_fd_;
  DieWithWatch die_with_;
  core::SignalContext signal_context_;
  std::optional<Workdir> workdir_;
  std::optional<WorkdirCleanup> cleanup_;
  Spawned main_;
  bool main_reaped_ = false;
  core::TimePoint main_started_at_;
};

sys::Result<void> Runner::prepare() {
  report_.started_at = std::chrono::system_clock::now();
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) return sys::last_error("become a child subreaper");
  // Children from before (`x & exec reapctl …`) are nobody's victims.
  if (sys::has_children()) tree_.disown_children();
  signal_context_ = {.shared_group = sys::has_controlling_terminal(), .session_leader = ::getsid(0) == ::getpid()};

  auto loop = sys::EventLoop::create();
  if (!loop) return loop.error();
  loop_ = loop.take();
  auto signal_fd = sys::open_signal_fd();
  if (!signal_fd) return signal_fd.error();
  signal_fd_ = signal_fd.take();
  if (auto added = loop_->add(signal_fd_.get(), EPOLLIN, kSignals); !added) return added;

  auto watch = watch_die_with(plan_.die_with);
  if (!watch) {
    sys::Error error = watch.error();
    error.operation = "--die-with: " + error.operation;
    return error;
  }
  die_with_ = watch.take();
  if (die_with_.fd >= 0) {
    if (auto added = loop_->add(die_with_.fd, die_with_.events, kDieWith); !added) return added;
  }
  return prepare_workdir();
}

sys::Result<void> Runner::prepare_workdir() {
  if (!plan_.workdir.wanted) return {};
  auto made = make_workdir(plan_.workdir.base, setting_.run_id);
  if (made) {
    workdir_ = made.take();
    return {};
  }
  if (plan_.workdir.required) {
    sys::Error error = made.error();
    error.operation = "--workdir-base: cannot " + error.operation;
    return error;
  }
  warn("no private working directory: cannot " + made.error().message());
  return {};
}

void Runner::start() {
  if (die_with_.gone_already) {
    report_.exit = core::ExitStatus{.kind = core::ExitKind::not_started, .code = {}, .signal = {}, .failed_stage = "die-with", .failed_errno = ESRCH};
    feed({.kind = core::RunEventKind::die_with});
    return;
  }
  SpawnRequest request{.argv = plan_.argv,
                       .environment = command_environment(plan_, setting_.run_id, workdir_, environ),
                       .caller_signals = setting_.caller_signals,
                       .own_group = !signal_context_.shared_group,
                       .no_new_privs = plan_.no_new_privs,
                       .directory_fd = workdir_ && plan_.workdir.use_as_cwd ? workdir_->directory.get() : -1,
                       .close_fds = {}};
  if (plan_.close_fds) request.close_fds = descriptors_to_close(*plan_.close_fds);
  report_.cwd = current_directory();
  main_started_at_ = core::Clock::now();
  main_ = spawn(request);
  if (main_.pid < 0) {
    report_.exit = core::ExitStatus{.kind = core::ExitKind::not_started, .code = {}, .signal = {}, .failed_stage = main_.failed_stage, .failed_errno = main_.failed_errno};
    feed({.kind = core::RunEventKind::start_failed});
    return;
  }
  report_.main = core::MainReport{.pid = main_.pid, .started_at = std::chrono::system_clock::now(), .duration = {}, .rusage = {}};
  report_.executable = main_.executable;
  emit(core::StartedEvent{.pid = main_.pid, .argv = plan_.argv});
  if (auto added = loop_->add(main_.pid_fd.get(), EPOLLIN, kMainEnded); !added) {
    warn("the command is watched by SIGCHLD alone: " + added.error().message());
  }
  now_ = main_started_at_;
  feed({.kind = core::RunEventKind::started});
  let_go();
  // While the command finds its feet: nothing of this is needed before it ends.
  add_origin(proc_, report_);
}

/// After the start nothing that the command was given is held open by us: readers and writers of its pipes see what
/// they would see without us.
void Runner::let_go() {
  std::vector<int> keep = setting_.keep_open;
  keep.insert(keep.end(), {loop_->epoll_fd(), loop_->timer_fd(), signal_fd_.get(), die_with_.fd, main_.pid_fd.get()});
  if (workdir_) keep.insert(keep.end(), {workdir_->base.get(), workdir_->directory.get()});
  if (auto released = sys::release_inherited(std::move(keep), loop_->epoll_fd()); !released) {
    warn("inherited descriptors stay open: cannot " + released.error().message());
  }
  if (::chdir("/") != 0) warn("the working directory stays busy: cannot change to /");
}

RunOutcome Runner::supervise() {
  start();
  std::int64_t max_stall_us = 0;
  while (state_.phase != core::RunPhase::finished) {
    const auto source = loop_->wait(core::next_deadline(state_));
    now_ = core::Clock::now();
    ++report_.loop.wakeups;
    handle(source);
    const auto busy = std::chrono::duration_cast<std::chrono::microseconds>(core::Clock::now() - now_);
    max_stall_us = std::max(max_stall_us, std::int64_t{busy.count()});
  }
  report_.loop.max_stall_us = max_stall_us;
  return conclude();
}

void Runner::handle(std::optional<sys::EventLoop::Tag> source) {
  if (!source) {
    feed({.kind = core::RunEventKind::tick});
    return;
  }
  switch (static_cast<Source>(*source)) {
    case kSignals:
      if (const auto info = sys::next_signal(signal_fd_.get())) on_signal(*info);
      break;
    case kMainEnded: reap_main(); break;
    case kDieWith:
      loop_->remove(die_with_.fd);
      feed({.kind = core::RunEventKind::die_with});
      break;
    case kRemoval: removed(); break;
  }
}

void Runner::on_signal(const signalfd_siginfo& info) {
  const core::ReceivedSignal received{.number = static_cast<int>(info.ssi_signo), .from_kernel = info.ssi_code == SI_KERNEL};
  switch (core::classify(received, signal_context_, plan_)) {
    case core::SignalUse::child_changed: reap(); break;
    case core::SignalUse::stop: stop_requested(info); break;
    case core::SignalUse::typed_interrupt: feed({.kind = core::RunEventKind::typed_interrupt}); break;
    case core::SignalUse::job_stop: on_job_stop(); break;
    case core::SignalUse::forward: forward(info); break;
    case core::SignalUse::ignore: break;
  }
}
}  // namespace
}  // namespace reapctl::engine
