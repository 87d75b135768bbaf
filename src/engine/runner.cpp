#include "engine/runner.hpp"

#include "core/exit_status.hpp"
#include "engine/containment.hpp"
#include "engine/direct_line.hpp"
#include "engine/give_up.hpp"
#include "engine/guard.hpp"
#include "engine/prelude.hpp"
#include "engine/remover.hpp"
#include "engine/run_facts.hpp"
#include "engine/run_ground.hpp"
#include "engine/run_loop.hpp"
#include "engine/shared_page.hpp"
#include "proc/proc_fs.hpp"
#include "sys/children.hpp"
#include "sys/descriptors.hpp"
#include "sys/pid_fd.hpp"
#include "sys/terminal.hpp"

#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <optional>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <utility>

namespace reapctl::engine {
namespace {

void note_not_started(core::RunReport& report, const std::string& stage, int code) {
  report.exit = core::ExitStatus{
      .kind = core::ExitKind::not_started, .code = {}, .signal = {}, .failed_stage = stage, .failed_errno = code};
}

Spawned start(const core::RunPlan& plan, const RunSetting& setting, RunResources& resources, std::optional<pid_t> group,
              pid_t key_listener, core::TimePoint started_at, core::RunReport& report) {
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
      .cgroup_fd = resources.cgroup ? resources.cgroup->fd() : -1,
      .no_new_privs = plan.no_new_privs,
      .stdout_fd = setting.held != nullptr     ? setting.held->command_stdout()
                   : resources.pump != nullptr ? resources.pump->command_stdout()
                                               : -1,
      .stderr_fd = setting.held != nullptr     ? setting.held->command_stderr()
                   : resources.pump != nullptr ? resources.pump->command_stderr()
                                               : -1,
      .directory_fd = resources.workdir && plan.workdir.use_as_cwd ? resources.workdir->directory.get() : -1,
      .close_fds = {},
      .keys = {},
      .note = resources.registration.main_note(),
      .in_vain = [&] { return is_unwanted(plan, resources, started_at); },
  };
  const std::vector<int> lock = resources.lock.descriptors();
  request.note.lock_fds.insert(request.note.lock_fds.end(), lock.begin(), lock.end());
  if (resources.signals.shared_group) {
    request.keys.pid = key_listener;
    if (resources.page != nullptr) request.keys.taken_over = &resources.page->keys_taken_over;
  }
  if (plan.close_fds) {
    if (auto close = descriptors_to_close(*plan.close_fds)) {
      request.close_fds = close.take();
    } else {
      report.warnings.push_back("--close-fds has no effect: cannot " + close.error().message());
    }
  }
  Spawned spawned = spawn(request);
  if (spawned.failed_stage != "cgroup" || plan.contain != core::ContainMode::automatic) return spawned;
  // A threaded cgroup, for example, takes no process. With `auto` the run goes on without a cgroup.
  report.containment_why = why_no_cgroup(
      {.code = spawned.failed_errno, .operation = "start a process in", .subject = resources.cgroup->path()});
  (void)resources.cgroup->remove_some();  // empty
  resources.cgroup.reset();
  resources.registration.forget_cgroup();
  request.cgroup_fd = -1;
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

/// A thread that hangs in the kernel keeps this process from ending. Nobody shall have to wait for what the process
/// holds: for the end of a pipe, or for a lock.
void leave_thread_behind(const RunResources& resources) {
  if (resources.guard) resources.guard->take_leave();
  const int harmless = resources.loop.epoll_fd();
  (void)::dup3(harmless, STDERR_FILENO, O_CLOEXEC);
  (void)sys::release_inherited({}, harmless);
}

/// The end of a run, in whichever process has it: the report, and what to exit with.
RunOutcome finish(const core::RunPlan& plan, const RunSetting& setting, const RunGround& ground, const RunLoop& loop,
                  const Ledger& ledger, RunResources& resources, core::RunReport& report) {
  sign_off(resources.registration, loop, ledger);
  if (resources.pump != nullptr) {
    report.output =
        resources.pump->finish(give_up_when_asked(plan, resources), loop.state().stop_deadline, report.warnings);
  } else if (setting.held != nullptr && plan.tail_bytes > 0) {
    report.output = setting.held->tails(plan.tail_bytes);
  }
  if (setting.held != nullptr && setting.held->has_no_room()) {
    report.warnings.emplace_back("--quiet-on-success: the output may be cut short: no space is left where it is held");
  }
  conclude(plan, loop.state(), ledger, report);
  report.ended_at = std::chrono::system_clock::now();
  report.duration = core::to_millis(core::Clock::now() - ground.began_at);
  const RunOutcome outcome{.exit_code = report.exit_code,
                           .die_of_interrupt = ground.signals.shared_group && report.exit &&
                                               report.exit->signal == SIGINT && report.exit_code == 128 + SIGINT};
  if (resources.page != nullptr) {  // before the report: if we die over it, the guard finishes both
    resources.page->exit_code.store(outcome.exit_code);
    resources.page->die_of_interrupt.store(outcome.die_of_interrupt);
  }
  GiveUp give_up = give_up_when_asked(plan, resources);
  give_up.until = loop.state().stop_deadline;
  give_up.alone = !resources.guard && ::getpid() != ground.known_as;
  setting.deliver(report, give_up, resources.page != nullptr ? &resources.page->report : nullptr);
  if (resources.page != nullptr) resources.page->done.store(true);
  if (resources.guard) resources.guard->wake();
  if (removal_threads_exist()) leave_thread_behind(resources);
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
  // The process that a terminal and its shell know. In a foreign /proc its number is somebody else's.
  const pid_t key_listener = proc.is_system() ? ground.known_as : 0;
  resources->registration.complete(resources->workdir, resources->cgroup, proc);
  const core::TimePoint started_at = core::Clock::now();
  const core::WallTime started_on = std::chrono::system_clock::now();
  Spawned& main = resources->main = start(plan, setting, *resources, group, key_listener, started_at, report);
  if (resources->guard && page != nullptr) resources->guard->tell_of_start(*page);
  if (resources->cgroup) tree.use_cgroup(&*resources->cgroup);
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
    tree.own(main.pid, !ground.signals.shared_group);
    if (page != nullptr) page->reachable_main.store(main.pid);
    report.executable = main.executable;
    report.main = core::MainReport{.pid = main.pid, .started_at = started_on};
    if (auto added = resources->loop.add(main.pid_fd.get(), EPOLLIN, kMainEnded); !added) {
      report.warnings.push_back("the end of the command is seen by SIGCHLD alone: cannot " + added.error().message());
    }
    loop.begin(core::RunEventKind::started, started_at);
    if (main.given_up) loop.hear_why_unwanted();
  }
  // Looked up now, while the command finds its feet.
  add_surroundings(proc, ground.known_as, ground.parent, report);
  if (main.pid >= 0) resources->registration.running(main.on_record, report.origin);
  loop.run();
  const RunOutcome outcome = finish(plan, setting, ground, loop, ledger, *resources, report);
  if (page == nullptr) return outcome;
  // All is written, and the guard knows the exit code. The last process to close a removed directory waits until the
  // file system has freed it. For these two that is the guard, while we do so for the directory of the record.
  resources->workdir.reset();
  resources->cgroup.reset();
  resources->guard.reset();
  ::_exit(0);
}

/// The guard's part when the supervisor has died: what that had started is now our child, or below one.
sys::Result<RunOutcome> take_over(const core::RunPlan& plan, const RunSetting& setting, const RunObserver& observer,
                                  RunGround& ground, SharedPage& page, const proc::ProcFs& proc, Tree& tree,
                                  core::RunReport& report) {
  auto resources = make_resources(ground, std::nullopt, &page);
  if (!resources) return resources.error();
  if (page.report.is_set()) {  // the run was over but for the report
    GiveUp give_up = give_up_when_asked(plan, *resources);
    give_up.until = page.stop_deadline();
    setting.resume_delivery(page.report, give_up);
    return RunOutcome{.exit_code = page.exit_code.load(), .die_of_interrupt = page.die_of_interrupt.load()};
  }
  if (resources->cgroup) tree.use_cgroup(&*resources->cgroup);
  Ledger ledger(proc, tree);
  RunLoop loop(plan, observer, *resources, tree, ledger, report);
  std::optional<core::MainOnRecord> main_on_record;
  if (const pid_t main = page.main_pid.load(); main > 0) {
    report.main = core::MainReport{.pid = main, .started_at = report.started_at};
    tree.own(main, !ground.signals.shared_group);
    if (const int code = page.main_wait_code.load(); code != 0) {
      siginfo_t info{};
      info.si_code = code;
      info.si_status = page.main_wait_status.load();
      report.exit = core::exit_status(info);
    } else if (sys::is_child(main)) {
      resources->main.pid = main;
      auto pid_fd = sys::open_pid_fd(main);
      if (pid_fd) resources->main.pid_fd = pid_fd.take();
      if (const auto process = proc.stat(main)) {
        main_on_record = core::MainOnRecord{.id = process->id, .pgid = process->pgid, .sid = process->sid};
      }
    }
  }
  resources->registration.take_over(main_on_record);
  add_surroundings(proc, ground.known_as, ground.parent, report);
  loop.take_over(ground.began_at);
  loop.run();
  return finish(plan, setting, ground, loop, ledger, *resources, report);
}

/// The run with two processes; returns in the guard.
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
    // Our caller says why; there is nothing for the guard to take over.
    (*page)->exit_code.store(core::kExitFailure);
    (*page)->done.store(true);
    return outcome;
  }
  std::vector<int> keep = setting.keep_open;
  keep.push_back((*page)->report.file);
  const std::vector<int> needed = descriptors_of(ground);
  keep.insert(keep.end(), needed.begin(), needed.end());
  if (ground.pump) ground.pump->close_command_ends();
  DirectLine direct_line(**page, plan, ground.signals);
  const GuardOrders orders{
      .on_terminal = ground.signals.shared_group,
      .stop_timeout = plan.rules.stop_timeout,
      .asks_to_stop =
          [&](const signalfd_siginfo& info) { return use_of(info, ground.signals, plan) == core::SignalUse::stop; },
      // The supervisor tells of each signal where somebody wants to hear of it.
      .pass_straight = [&](const signalfd_siginfo& info) { return !observer.event && direct_line.pass(info); },
      .let_go =
          [&] {
            ground.registration.let_go();
            ground.workdir.reset();
            ground.cgroup.reset();
          },
      .output_gone = [&] { ground.pump->close_gone(); }};
  const auto end = sides->guard->watch(**page, std::move(keep), orders);
  if (!end) return end.error();
  if (*end == WatchEnd::supervisor_died) {
    return take_over(plan, setting, observer, ground, **page, proc, tree, report);
  }
  const RunOutcome outcome{.exit_code = (*page)->exit_code.load(),
                           .die_of_interrupt = (*page)->die_of_interrupt.load()};
  if (!outcome.die_of_interrupt) ::_exit(outcome.exit_code);  // the kernel clears up faster than we
  return outcome;
}

}  // namespace

sys::Result<RunOutcome> run(const core::RunPlan& plan, const RunSetting& setting, const RunObserver& observer) {
  core::RunReport report;
  if (!proc::ProcFs::is_usable()) {
    report.warnings.emplace_back(
        "/proc is missing or belongs to another PID namespace: the run is not on record, signals reach the children of "
        "reapctl alone (orphans become such), and processes have no names here");
  }
  const proc::ProcFs proc = report.warnings.empty() ? proc::ProcFs() : proc::ProcFs::without_proc();
  report.run_id = setting.run_id;
  report.name = plan.name;
  report.argv = plan.argv;
  report.cwd = current_directory();
  report.started_at = std::chrono::system_clock::now();

  if (::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) return sys::last_error("become a child subreaper");
  Tree tree(proc, cookie(setting.run_id));
  if (sys::has_children()) tree.disown_children();
  auto ground = lay_ground(plan, setting, report);
  if (!ground) return ground.error();
  if (plan.lock || plan.splay > core::Millis::zero()) {
    auto lock = wait_before_start(plan, setting, proc, *ground, report);
    if (!lock) return lock.error();
    if (!lock->has_value()) return outcome_before_start(report, ground->signals);
    ground->lock = std::move(**lock);
  }
  if (auto prepared = prepare(plan, setting, proc, *ground, report); !prepared) return prepared.error();
  const std::string workdir = ground->workdir ? ground->workdir->path : std::string();
  const std::string cgroup = ground->cgroup ? ground->cgroup->path() : std::string();
  // As PID 1 a guard has no use: when PID 1 ends, the kernel kills everybody else.
  report.guard = plan.guard && ::getpid() != 1;
  if (report.guard && proc.has_children_elsewhere()) {
    report.guard = false;  // the supervisor would know nobody by the pid that /proc says
    report.warnings.emplace_back(
        "no guard: what is started here is in a PID namespace of its own (unshare without --fork)");
  }
  auto outcome = report.guard ? guarded(plan, setting, observer, *ground, proc, tree, report)
                              : supervise(plan, setting, observer, *ground, std::nullopt, nullptr, proc, tree, report);
  if (!outcome) {  // nothing was started, so there is nothing in the directories
    if (!cgroup.empty()) (void)::rmdir(cgroup.c_str());
    if (!workdir.empty()) (void)::rmdir(workdir.c_str());
    ground->registration.remove();
  }
  return outcome;
}

}  // namespace reapctl::engine
