#include "engine/runner.hpp"

#include "core/exit_status.hpp"
#include "engine/run_facts.hpp"
#include "engine/run_loop.hpp"
#include "proc/proc_fs.hpp"
#include "sys/descriptors.hpp"
#include "sys/terminal.hpp"

#include <cerrno>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <utility>

namespace reapctl::engine {
namespace {

/// The sources of the loop, and the work directory, before there is a command.
sys::Result<RunResources> prepare(const core::RunPlan& plan, const std::string& run_id,
                                  std::vector<std::string>& warnings) {
  auto loop = sys::EventLoop::create();
  if (!loop) return loop.error();
  auto signal_fd = sys::open_signal_fd();
  if (!signal_fd) return signal_fd.error();
  auto die_with = watch_die_with(plan.die_with);
  if (!die_with) {
    sys::Error error = die_with.error();
    error.operation.insert(0, "--die-with: ");
    return error;
  }
  RunResources resources{
      .loop = loop.take(),
      .signal_fd = signal_fd.take(),
      .die_with = die_with.take(),
      .workdir = {},
      .signals = {.shared_group = sys::has_controlling_terminal(), .session_leader = ::getsid(0) == ::getpid()},
      .main = {}};
  if (auto added = resources.loop.add(resources.signal_fd.get(), EPOLLIN, kSignals); !added) return added.error();
  if (resources.die_with.fd >= 0) {
    auto added = resources.loop.add(resources.die_with.fd, resources.die_with.events, kDieWith);
    if (!added) return added.error();
  }
  if (!plan.workdir.wanted) return resources;
  auto workdir = make_workdir(plan.workdir.base, run_id);
  if (workdir) {
    resources.workdir = workdir.take();
  } else if (plan.workdir.required) {
    sys::Error error = workdir.error();
    error.operation.insert(0, "--workdir-base: cannot ");
    return error;
  } else {
    warnings.push_back("no private working directory: cannot " + workdir.error().message());
  }
  return resources;
}

/// After the start nothing that the command was given is held open by us: readers and writers of its pipes see what
/// they would see without us.
void let_go(const RunResources& resources, const RunSetting& setting, std::vector<std::string>& warnings) {
  std::vector<int> keep = setting.keep_open;
  keep.insert(keep.end(), {resources.loop.epoll_fd(), resources.signal_fd.get(), resources.die_with.fd,
                           resources.main.pid_fd.get()});
  if (resources.workdir) keep.insert(keep.end(), {resources.workdir->base.get(), resources.workdir->directory.get()});
  if (auto released = sys::release_inherited(std::move(keep), resources.loop.epoll_fd()); !released) {
    warnings.push_back("inherited descriptors stay open: cannot " + released.error().message());
  }
  if (::chdir("/") != 0)
    warnings.push_back("the working directory stays in use: cannot " + sys::last_error("change to", "/").message());
}

void note_not_started(core::RunReport& report, const std::string& stage, int code) {
  report.exit = core::ExitStatus{
      .kind = core::ExitKind::not_started, .code = {}, .signal = {}, .failed_stage = stage, .failed_errno = code};
}

Spawned start(const core::RunPlan& plan, const RunSetting& setting, const RunResources& resources,
              std::vector<std::string>& warnings) {
  if (resources.die_with.gone_already) {
    Spawned nothing;
    nothing.failed_stage = "die-with";
    nothing.failed_errno = ESRCH;
    return nothing;
  }
  SpawnRequest request{
      .argv = plan.argv,
      .environment = command_environment(plan, setting.run_id, resources.workdir),
      .caller_signals = setting.caller_signals,
      .own_group = !resources.signals.shared_group,
      .no_new_privs = plan.no_new_privs,
      .directory_fd = resources.workdir && plan.workdir.use_as_cwd ? resources.workdir->directory.get() : -1,
      .close_fds = {},
  };
  if (plan.close_fds) {
    if (auto close = descriptors_to_close(*plan.close_fds)) {
      request.close_fds = close.take();
    } else {
      warnings.push_back("--close-fds has no effect: cannot " + close.error().message());
    }
  }
  return spawn(request);
}

/// What the state machine and the books know at the end, as the report tells it.
void conclude(const core::RunPlan& plan, const core::RunState& state, const Ledger& ledger, core::RunReport& report) {
  report.tree = ledger.tree();
  if (report.stop && state.stop) {
    report.stop->cause = state.stop->cause;
    report.stop->signal = state.stop->signal;
    report.stop->sender_pid = state.stop->sender_pid;
    report.stop->rungs = ledger.rungs();
    report.stop->timeout_hit = state.stop_timeout_hit;
  }
  if (state.released) {
    report.warnings.push_back("released: --leftovers leave left " + std::to_string(report.tree.leftovers_total) +
                              " running" + (report.workdir ? ", with their working directory" : ""));
  }
  report.result = core::run_result(state.stop, report.exit, plan.ok_exit);
  report.exit_code = core::exit_code(report.result, report.exit, plan.ok_exit, report.tree.survivors_total > 0);
}

}  // namespace

sys::Result<RunOutcome> run(const core::RunPlan& plan, const RunSetting& setting, const RunObserver& observer) {
  const core::TimePoint began_at = core::Clock::now();
  const proc::ProcFs proc;
  RunOutcome outcome;
  core::RunReport& report = outcome.report;
  report.run_id = setting.run_id;
  report.name = plan.name;
  report.argv = plan.argv;
  report.cwd = current_directory();
  report.started_at = std::chrono::system_clock::now();

  if (::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) return sys::last_error("become a child subreaper");
  Tree tree(proc, cookie(setting.run_id));
  if (sys::has_children()) tree.disown_children();
  auto resources = prepare(plan, setting.run_id, report.warnings);
  if (!resources) return resources.error();

  Ledger ledger(proc, tree);
  RunLoop loop(plan, observer, *resources, tree, ledger, report);
  const core::TimePoint started_at = core::Clock::now();
  const core::WallTime started_on = std::chrono::system_clock::now();
  Spawned& main = resources->main = start(plan, setting, *resources, report.warnings);
  // Before the first event: what the loop opens from here on, as for the removal, is not there to be closed.
  let_go(*resources, setting, report.warnings);
  if (main.pid < 0) {
    note_not_started(report, main.failed_stage, main.failed_errno);
    loop.begin(core::RunEventKind::start_failed, started_at);
  } else {
    tree.own(main.pid);
    report.executable = main.executable;
    report.main = core::MainReport{.pid = main.pid, .started_at = started_on, .duration = {}, .rusage = {}};
    if (auto added = resources->loop.add(main.pid_fd.get(), EPOLLIN, kMainEnded); !added) {
      report.warnings.push_back("the end of the command is seen by SIGCHLD alone: cannot " + added.error().message());
    }
    if (observer.event)
      observer.event({.at = started_on, .what = core::StartedEvent{.pid = main.pid, .argv = plan.argv}});
    loop.begin(core::RunEventKind::started, started_at);
  }
  // Looked up now, while the command finds its feet: none of it is needed before the report.
  if (setting.report_wanted) add_surroundings(proc, report);
  loop.run();

  conclude(plan, loop.state(), ledger, report);
  report.ended_at = std::chrono::system_clock::now();
  report.duration = std::chrono::duration_cast<core::Millis>(core::Clock::now() - began_at);
  outcome.die_of_interrupt = resources->signals.shared_group && report.exit && report.exit->signal == SIGINT &&
                             report.exit_code == 128 + SIGINT;
  outcome.signal_fd = std::move(resources->signal_fd);
  return outcome;
}

}  // namespace reapctl::engine
