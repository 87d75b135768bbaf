#include "engine/runner.hpp"

#include "core/exit_status.hpp"
#include "core/signal_policy.hpp"
#include "engine/guard.hpp"
#include "engine/run_facts.hpp"
#include "engine/run_loop.hpp"
#include "engine/shared_page.hpp"
#include "proc/proc_fs.hpp"
#include "sys/children.hpp"
#include "sys/descriptors.hpp"
#include "sys/pid_fd.hpp"
#include "sys/terminal.hpp"

#include <cerrno>
#include <csignal>
#include <optional>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <utility>

namespace reapctl::engine {
namespace {

/// What both reapctl processes need to know to undo everything; made before there are two.
struct RunGround {
  DieWithWatch die_with;
  Registration registration;
  std::optional<Workdir> workdir;
  core::SignalContext signals;
  pid_t known_as = 0;  ///< the process that the caller knows, and its parent and group
  pid_t parent = 0;
  pid_t group = 0;
  core::TimePoint began_at;
};

sys::Result<RunGround> prepare(const core::RunPlan& plan, const RunSetting& setting, const proc::ProcFs& proc,
                               core::RunReport& report) {
  RunGround ground{
      .die_with = {},
      .registration = Registration({.chosen = plan.registry}, *setting.record_codec, report.warnings),
      .workdir = {},
      .signals = {.shared_group = sys::has_controlling_terminal(), .session_leader = ::getsid(0) == ::getpid()},
      .known_as = ::getpid(),
      .parent = ::getppid(),
      .group = ::getpgrp(),
      .began_at = core::Clock::now()};
  auto die_with = watch_die_with(plan.die_with);
  if (!die_with) {
    sys::Error error = die_with.error();
    error.operation.insert(0, "--die-with: ");
    return error;
  }
  ground.die_with = die_with.take();
  ground.registration.open(setting.run_id);
  ground.registration.begin(initial_record(proc, plan, report));
  if (!plan.workdir.wanted) return ground;
  auto workdir = make_workdir(plan.workdir.base, setting.run_id);
  if (workdir) {
    ground.workdir = workdir.take();
  } else if (plan.workdir.required) {
    ground.registration.remove();
    sys::Error error = workdir.error();
    error.operation.insert(0, "--workdir-base: cannot ");
    return error;
  } else {
    report.warnings.push_back("no private working directory: cannot " + workdir.error().message());
  }
  return ground;
}

/// The loop and its sources: of one process, made after the fork. (An epoll descriptor or a signalfd that two processes
/// share watches for the one that made it.)
sys::Result<RunResources> make_resources(RunGround& ground, std::optional<GuardLink> guard, SharedPage* page) {
  auto loop = sys::EventLoop::create();
  if (!loop) return loop.error();
  auto signal_fd = sys::open_signal_fd();
  if (!signal_fd) return signal_fd.error();
  sys::Result<void> added = loop->add(signal_fd->get(), EPOLLIN, kSignals);
  if (added && ground.die_with.fd >= 0) added = loop->add(ground.die_with.fd, ground.die_with.events, kDieWith);
  if (added && guard) added = loop->add(guard->socket(), EPOLLIN, kGuardMessage);
  if (added && guard) added = loop->add(guard->pid_fd(), EPOLLIN, kGuardEnded);
  if (!added) return added.error();
  return RunResources{.loop = loop.take(),
                      .signal_fd = signal_fd.take(),
                      .die_with = std::move(ground.die_with),
                      .registration = std::move(ground.registration),
                      .workdir = std::move(ground.workdir),
                      .signals = ground.signals,
                      .guard = std::move(guard),
                      .page = page,
                      .main = {}};
}

/// After the start nothing that the command was given is held open by us: readers and writers of its pipes see what
/// they would see without us.
void let_go(const RunResources& resources, std::vector<int> keep, std::vector<std::string>& warnings) {
  keep.insert(keep.end(), {resources.loop.epoll_fd(), resources.signal_fd.get(), resources.die_with.fd,
                           resources.main.pid_fd.get()});
  const std::vector<int> registered = resources.registration.descriptors();
  keep.insert(keep.end(), registered.begin(), registered.end());
  if (resources.workdir) keep.insert(keep.end(), {resources.workdir->base.get(), resources.workdir->directory.get()});
  if (resources.guard) keep.insert(keep.end(), {resources.guard->pid_fd(), resources.guard->socket()});
  if (auto released = sys::release_inherited(std::move(keep), resources.loop.epoll_fd()); !released) {
    warnings.push_back("inherited descriptors stay open: cannot " + released.error().message());
  }
  if (::chdir("/") != 0) {
    warnings.push_back("the working directory stays in use: cannot " + sys::last_error("change to", "/").message());
  }
}

void note_not_started(core::RunReport& report, const std::string& stage, int code) {
  report.exit = core::ExitStatus{
      .kind = core::ExitKind::not_started, .code = {}, .signal = {}, .failed_stage = stage, .failed_errno = code};
}

Spawned start(const core::RunPlan& plan, const RunSetting& setting, const RunResources& resources,
              std::optional<pid_t> group, std::vector<std::string>& warnings) {
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
      .group = group,
      .pid_out = resources.page != nullptr ? &resources.page->main_pid : nullptr,
      .no_new_privs = plan.no_new_privs,
      .directory_fd = resources.workdir && plan.workdir.use_as_cwd ? resources.workdir->directory.get() : -1,
      .close_fds = {},
      .note = resources.registration.main_note(),
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

/// Off the record, unless something is left for a sweep to deal with.
void sign_off(Registration& registration, const RunLoop& loop, const Ledger& ledger) {
  if (loop.state().released) {
    registration.released();
  } else if (ledger.tree().survivors_total == 0 && loop.cleaned_up()) {
    registration.remove();
  }
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

/// For as long as the report waits for its reader: a request to stop ends the wait, a resized window does not.
GiveUp give_up_when_asked(const core::RunPlan& plan, const RunResources& resources) {
  const auto asks = [&](const signalfd_siginfo& info) {
    const auto use =
        core::classify({.number = static_cast<int>(info.ssi_signo), .from_kernel = info.ssi_code == SI_KERNEL},
                       resources.signals, plan);
    if (sys::is_ignored(static_cast<int>(info.ssi_signo))) return false;
    return use == core::SignalUse::stop || use == core::SignalUse::typed_interrupt;
  };
  if (!resources.guard) {
    return {.fd = resources.signal_fd.get(), .asked = [asks, &resources] {
              const auto info = sys::next_signal(resources.signal_fd.get());
              return info && asks(*info);
            }};
  }
  // While the guard lives, a request comes from him; when he is gone nobody could make one.
  return {.fd = resources.guard->socket(), .asked = [asks, &resources] {
            const auto message = resources.guard->receive();
            return !message || (message->kind == GuardMessage::Kind::signal && asks(message->signal));
          }};
}

/// The end of a run, in whichever process has it: the report, and what to exit with.
RunOutcome finish(const core::RunPlan& plan, const RunSetting& setting, const RunGround& ground, const RunLoop& loop,
                  const Ledger& ledger, RunResources& resources, core::RunReport& report) {
  sign_off(resources.registration, loop, ledger);
  conclude(plan, loop.state(), ledger, report);
  report.ended_at = std::chrono::system_clock::now();
  report.duration = std::chrono::duration_cast<core::Millis>(core::Clock::now() - ground.began_at);
  const RunOutcome outcome{.exit_code = report.exit_code,
                           .die_of_interrupt = ground.signals.shared_group && report.exit &&
                                               report.exit->signal == SIGINT && report.exit_code == 128 + SIGINT};
  if (resources.page != nullptr) {  // before the report: if we die over it, the guard finishes both
    resources.page->exit_code.store(outcome.exit_code);
    resources.page->die_of_interrupt.store(outcome.die_of_interrupt);
  }
  setting.deliver(report, give_up_when_asked(plan, resources),
                  resources.page != nullptr ? &resources.page->report : nullptr);
  if (resources.page != nullptr) resources.page->done.store(true);
  if (resources.guard) resources.guard->wake();
  return outcome;
}

/// Starts the command and supervises it until nothing is left: the one process there is, or the guard's child.
sys::Result<RunOutcome> supervise(const core::RunPlan& plan, const RunSetting& setting, const RunObserver& observer,
                                  RunGround& ground, std::optional<GuardLink> guard, SharedPage* page,
                                  const proc::ProcFs& proc, Tree& tree, core::RunReport& report) {
  auto resources = make_resources(ground, std::move(guard), page);
  if (!resources) return resources.error();
  Ledger ledger(proc, tree);
  RunLoop loop(plan, observer, *resources, tree, ledger, report);
  // With a terminal the command stays in the group that the shell knows; without one it has a group of its own.
  std::optional<pid_t> group;
  if (!ground.signals.shared_group) group = 0;
  if (ground.signals.shared_group && resources->guard) group = ground.group;
  resources->registration.complete(resources->workdir, proc);
  const core::TimePoint started_at = core::Clock::now();
  const core::WallTime started_on = std::chrono::system_clock::now();
  Spawned& main = resources->main = start(plan, setting, *resources, group, report.warnings);
  // A process of another group of the session with a child in the command's group makes that no orphaned group: ^Z
  // would stop everybody where, as under `docker run -it`, nobody is there to continue them (fact 27). Not before the
  // start: a group of another session cannot be entered.
  if (ground.signals.shared_group && resources->guard) sys::leave_session();
  // Before the first event: what the loop opens from here on, as for the removal, is not there to be closed.
  let_go(*resources, setting.keep_open, report.warnings);
  if (main.pid < 0) {
    note_not_started(report, main.failed_stage, main.failed_errno);
    loop.begin(core::RunEventKind::start_failed, started_at);
  } else {
    tree.own(main.pid);
    report.executable = main.executable;
    report.main = core::MainReport{.pid = main.pid, .started_at = started_on};
    if (auto added = resources->loop.add(main.pid_fd.get(), EPOLLIN, kMainEnded); !added) {
      report.warnings.push_back("the end of the command is seen by SIGCHLD alone: cannot " + added.error().message());
    }
    loop.begin(core::RunEventKind::started, started_at);
  }
  // Looked up now, while the command finds its feet.
  add_surroundings(proc, ground.known_as, ground.parent, report);
  if (main.pid >= 0) resources->registration.running(main.on_record, report.origin);
  loop.run();
  return finish(plan, setting, ground, loop, ledger, *resources, report);
}

/// The guard's part when the supervisor has died: whatever he had started is our child or below one now.
sys::Result<RunOutcome> take_over(const core::RunPlan& plan, const RunSetting& setting, const RunObserver& observer,
                                  RunGround& ground, SharedPage& page, const proc::ProcFs& proc, Tree& tree,
                                  core::RunReport& report) {
  auto resources = make_resources(ground, std::nullopt, &page);
  if (!resources) return resources.error();
  if (page.report.is_set()) {  // the run was over but for the report
    setting.resume_delivery(page.report, give_up_when_asked(plan, *resources));
    return RunOutcome{.exit_code = page.exit_code.load(), .die_of_interrupt = page.die_of_interrupt.load()};
  }
  Ledger ledger(proc, tree);
  RunLoop loop(plan, observer, *resources, tree, ledger, report);
  if (const pid_t main = page.main_pid.load(); main > 0) {
    report.main = core::MainReport{.pid = main, .started_at = report.started_at};
    tree.own(main);
    if (const auto process = proc.stat(main)) {  // what we know of the record is what it was at the fork
      resources->registration.running(core::MainOnRecord{.id = process->id, .pgid = process->pgid, .sid = process->sid},
                                      {});
    }
    if (const int code = page.main_wait_code.load(); code != 0) {
      siginfo_t info{};
      info.si_code = code;
      info.si_status = page.main_wait_status.load();
      report.exit = core::exit_status(info);
    } else if (sys::is_child(main)) {
      resources->main.pid = main;
      auto pid_fd = sys::open_pid_fd(main);
      if (pid_fd) resources->main.pid_fd = pid_fd.take();
    }
  }
  add_surroundings(proc, ground.known_as, ground.parent, report);
  loop.take_over(ground.began_at);
  loop.run();
  return finish(plan, setting, ground, loop, ledger, *resources, report);
}

/// The run with two processes; returns in both.
sys::Result<RunOutcome> guarded(const core::RunPlan& plan, const RunSetting& setting, const RunObserver& observer,
                                RunGround& ground, const proc::ProcFs& proc, Tree& tree, core::RunReport& report) {
  auto page = make_shared_page();
  if (!page) return page.error();
  auto sides = fork_supervisor();
  if (!sides) return sides.error();
  if (sides->link) {
    // Being a subreaper is not inherited, and what our parent had before the run is no child of ours.
    (void)::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);  // our parent could, so can we
    Tree own_tree(proc, cookie(setting.run_id));
    auto outcome =
        supervise(plan, setting, observer, ground, std::move(sides->link), page->get(), proc, own_tree, report);
    if (!outcome) {  // our caller says why; there is nothing for the guard to take over
      (*page)->exit_code.store(core::kExitFailure);
      (*page)->done.store(true);
    }
    return outcome;
  }
  std::vector<int> keep = setting.keep_open;
  const std::vector<int> registered = ground.registration.descriptors();
  keep.insert(keep.end(), registered.begin(), registered.end());
  if (ground.workdir) keep.insert(keep.end(), {ground.workdir->base.get(), ground.workdir->directory.get()});
  const auto end = sides->guard->watch(**page, std::move(keep));
  if (!end) return end.error();
  if (*end == WatchEnd::supervisor_died) {
    return take_over(plan, setting, observer, ground, **page, proc, tree, report);
  }
  return RunOutcome{.exit_code = (*page)->exit_code.load(), .die_of_interrupt = (*page)->die_of_interrupt.load()};
}

}  // namespace

sys::Result<RunOutcome> run(const core::RunPlan& plan, const RunSetting& setting, const RunObserver& observer) {
  const proc::ProcFs proc;
  core::RunReport report;
  report.run_id = setting.run_id;
  report.name = plan.name;
  report.argv = plan.argv;
  report.cwd = current_directory();
  report.started_at = std::chrono::system_clock::now();

  if (::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) return sys::last_error("become a child subreaper");
  Tree tree(proc, cookie(setting.run_id));
  if (sys::has_children()) tree.disown_children();
  auto ground = prepare(plan, setting, proc, report);
  if (!ground) return ground.error();
  const std::string workdir = ground->workdir ? ground->workdir->path : std::string();
  // As PID 1 a guard has no use: when PID 1 ends, the kernel kills everybody else.
  report.guard = plan.guard && ::getpid() != 1;
  auto outcome = report.guard ? guarded(plan, setting, observer, *ground, proc, tree, report)
                              : supervise(plan, setting, observer, *ground, std::nullopt, nullptr, proc, tree, report);
  if (!outcome) {  // nothing was started, so there is nothing in the directory
    if (!workdir.empty()) (void)::rmdir(workdir.c_str());
    ground->registration.remove();
  }
  return outcome;
}

}  // namespace reapctl::engine
