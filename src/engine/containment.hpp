#pragma once

#include "core/plan.hpp"
#include "engine/run_cgroup.hpp"
#include "proc/proc_fs.hpp"
#include "sys/result.hpp"

#include <optional>
#include <string>

/// What --contain comes to on this machine, for this user.
namespace reapctl::engine {

struct Containment {
  std::optional<CgroupGround> ground;  ///< where the run is to have a cgroup; nullopt: it has to do without
  std::string why;                     ///< why so, for the report
};

/// Decides before anything is made. Error: a cgroup was asked for and cannot be had, with the reason and the remedy.
[[nodiscard]] sys::Result<Containment> choose_containment(core::ContainMode mode, const proc::ProcFs& proc);

/// Makes the cgroup. With `automatic` a run goes on without one: then `why` says so, and the result is nullopt.
/// Error: as above.
[[nodiscard]] sys::Result<std::optional<RunCgroup>> make_cgroup(core::ContainMode mode, Containment& containment,
                                                                const std::string& run_id);

/// Why a run that was free to choose has no cgroup.
[[nodiscard]] std::string why_no_cgroup(const sys::Error& error);

}  // namespace reapctl::engine
