#include "engine/run_ground.hpp"

#include "engine/containment.hpp"
#include "engine/run_facts.hpp"
#include "sys/descriptors.hpp"
#include "sys/signals.hpp"
#include "sys/terminal.hpp"

#include <sys/epoll.h>
#include <unistd.h>
#include <utility>

namespace reapctl::engine {
namespace {

std::vector<int> descriptors_of(const Registration& registration, const NamedLock& lock,
                                const std::optional<RunCgroup>& cgroup, const std::optional<Workdir>& workdir,
                                const TailPump* pump) {
  std::vector<int> all = registration.descriptors();
  const auto add = [&all](const std::vector<int>& some) { all.insert(all.end(), some.begin(), some.end()); };
  add(lock.descriptors());
  if (cgroup) add(cgroup->descriptors());
  if (workdir) add({workdir->base.get(), workdir->directory.get()});
  if (pump != nullptr) add(pump->descriptors());
  return all;
}

}  // namespace

sys::Result<RunGround> lay_ground(const core::RunPlan& plan, const RunSetting& setting, core::RunReport& report) {
  RunGround ground{
      .die_with = {},
      .lock = {},
      .registration = Registration({.chosen = plan.registry}, *setting.record_codec, report.warnings),
      .cgroup = {},
      .workdir = {},
      .pump = {},
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
  return ground;
}

sys::Result<void> prepare(const core::RunPlan& plan, const RunSetting& setting, const proc::ProcFs& proc,
                          RunGround& ground, core::RunReport& report) {
  auto containment = choose_containment(plan.contain, proc);
  if (!containment) return containment.error();
  if (plan.tail_bytes > 0 && setting.held == nullptr) {
    auto pump = TailPump::open(plan.tail_bytes);
    if (!pump) {
      sys::Error error = pump.error();
      error.operation.insert(0, "--tail: cannot ");
      return error;
    }
    ground.pump.emplace(pump.take());
  }
  // Without /proc a record would name no process for certain.
  if (proc.is_system()) ground.registration.open(setting.run_id);
  if (ground.registration.has_place()) {
    core::RunRecord record = initial_record(proc, plan, report);
    if (containment->ground) record.cgroup = planned_cgroup(*containment->ground, setting.run_id);
    ground.registration.begin(std::move(record));
  }
  if (plan.lock && !ground.registration.on_record()) {
    // Whoever takes the lock after a SIGKILL could not find what this run leaves.
    const std::string why = report.warnings.empty() ? "no record can be made" : report.warnings.back();
    return sys::Error{.code = 0, .operation = "--lock: " + why, .subject = {}};
  }
  auto cgroup = make_cgroup(plan.contain, *containment, setting.run_id);
  report.containment_why = containment->why;
  if (!cgroup) {
    ground.registration.remove();
    return cgroup.error();
  }
  ground.cgroup = cgroup.take();
  if (!plan.workdir.wanted) return {};
  auto workdir = make_workdir(plan.workdir.base, setting.run_id);
  if (workdir) {
    ground.workdir = workdir.take();
  } else if (plan.workdir.required) {
    if (ground.cgroup) (void)ground.cgroup->remove_some();  // empty
    ground.registration.remove();
    sys::Error error = workdir.error();
    error.operation.insert(0, "--workdir-base: cannot ");
    return error;
  } else {
    report.warnings.push_back("no private working directory: cannot " + workdir.error().message());
  }
  return {};
}

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
  if (ground.pump) ground.pump->watch(*loop, kOutput);
  return RunResources{.loop = loop.take(),
                      .signal_fd = signal_fd.take(),
                      .die_with = std::move(ground.die_with),
                      .lock = std::move(ground.lock),
                      .registration = std::move(ground.registration),
                      .cgroup = std::move(ground.cgroup),
                      .workdir = std::move(ground.workdir),
                      .signals = ground.signals,
                      .guard = std::move(guard),
                      .page = page,
                      .pump = ground.pump ? &*ground.pump : nullptr,
                      .main = {}};
}

std::vector<int> descriptors_of(const RunGround& ground) {
  return descriptors_of(ground.registration, ground.lock, ground.cgroup, ground.workdir,
                        ground.pump ? &*ground.pump : nullptr);
}

void let_go(const RunResources& resources, std::vector<int> keep, std::vector<std::string>& warnings) {
  if (resources.pump != nullptr) resources.pump->close_command_ends();
  keep.insert(keep.end(), {resources.loop.epoll_fd(), resources.signal_fd.get(), resources.die_with.fd,
                           resources.main.pid_fd.get()});
  const std::vector<int> needed =
      descriptors_of(resources.registration, resources.lock, resources.cgroup, resources.workdir, resources.pump);
  keep.insert(keep.end(), needed.begin(), needed.end());
  if (resources.guard) keep.insert(keep.end(), {resources.guard->pid_fd(), resources.guard->socket()});
  if (resources.page != nullptr) keep.push_back(resources.page->report.file);
  if (auto released = sys::release_inherited(std::move(keep), resources.loop.epoll_fd()); !released) {
    warnings.push_back("inherited descriptors stay open: cannot " + released.error().message());
  }
  if (::chdir("/") != 0) {
    warnings.push_back("the working directory stays in use: cannot " + sys::last_error("change to", "/").message());
  }
}

}  // namespace reapctl::engine
