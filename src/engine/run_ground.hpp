#pragma once

#include "core/plan.hpp"
#include "core/report.hpp"
#include "core/signal_policy.hpp"
#include "core/time.hpp"
#include "engine/die_with.hpp"
#include "engine/guard.hpp"
#include "engine/named_lock.hpp"
#include "engine/registration.hpp"
#include "engine/run_cgroup.hpp"
#include "engine/run_loop.hpp"
#include "engine/runner.hpp"
#include "engine/shared_page.hpp"
#include "engine/tail_pump.hpp"
#include "engine/workdir.hpp"
#include "proc/proc_fs.hpp"
#include "sys/result.hpp"

#include <optional>
#include <string>
#include <vector>

/// What a run stands on before its command exists: its place in the registry, its lock, cgroup and directory.
namespace reapctl::engine {

/// What both reapctl processes need to know to undo everything; made before there are two.
struct RunGround {
  DieWithWatch die_with;
  NamedLock lock;
  Registration registration;
  std::optional<RunCgroup> cgroup;
  std::optional<Workdir> workdir;
  std::optional<TailPump> pump;
  core::SignalContext signals;
  pid_t known_as = 0;  ///< the process that the caller knows, and its parent and group
  pid_t parent = 0;
  pid_t group = 0;
  core::TimePoint began_at;
};

/// What can be had without leaving a trace. Error: of --die-with.
[[nodiscard]] sys::Result<RunGround> lay_ground(const core::RunPlan& plan, const RunSetting& setting,
                                                core::RunReport& report);

/// Puts the run on record, and makes its cgroup and its directory. Error: what was asked for cannot be had; then
/// nothing is left of the rest.
[[nodiscard]] sys::Result<void> prepare(const core::RunPlan& plan, const RunSetting& setting, const proc::ProcFs& proc,
                                        RunGround& ground, core::RunReport& report);

/// The loop and its sources: of one process, made after the fork. (An epoll descriptor or a signalfd that two processes
/// share watches for the one that made it.)
[[nodiscard]] sys::Result<RunResources> make_resources(RunGround& ground, std::optional<GuardLink> guard,
                                                       SharedPage* page);

/// The descriptors that the guard needs to undo everything.
[[nodiscard]] std::vector<int> descriptors_of(const RunGround& ground);

/// After the start nothing that the command was given is held open by us: readers and writers of its pipes see what
/// they would see without us.
void let_go(const RunResources& resources, std::vector<int> keep, std::vector<std::string>& warnings);

}  // namespace reapctl::engine
