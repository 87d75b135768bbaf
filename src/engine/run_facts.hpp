#pragma once

#include "core/environment.hpp"
#include "core/plan.hpp"
#include "core/record.hpp"
#include "core/report.hpp"
#include "engine/workdir.hpp"
#include "proc/proc_fs.hpp"
#include "sys/result.hpp"

#include <optional>
#include <string>
#include <vector>

namespace reapctl::engine {

/// A name for a run that no other run has or will have: 16 hexadecimal digits, uppercase. Source: getrandom(2).
[[nodiscard]] std::string new_run_id();

/// "REAPCTL_COOKIE_<run id>=1", which the command and its descendants carry in their environment.
[[nodiscard]] std::string cookie(const std::string& run_id);

/// What the command finds in its environment: the caller's variables without REAPCTL_OPT_*, and the run's own.
[[nodiscard]] core::Environment command_environment(const core::RunPlan& plan, const std::string& run_id,
                                                    const std::optional<Workdir>& workdir);

/// The runs of whose environment `environment` (environ(7)) is: the ids in the cookies it holds.
[[nodiscard]] std::vector<std::string> enclosing_runs(const char* const* environment);

/// What is on record of a run before it begins, supervised by this process.
[[nodiscard]] core::RunRecord initial_record(const proc::ProcFs& proc, const core::RunPlan& plan,
                                             const core::RunReport& report);

/// The inherited descriptors above 2 that are not in `passed`. Errors: /proc is not there.
[[nodiscard]] sys::Result<std::vector<int>> descriptors_to_close(const std::vector<int>& passed);

/// Fills in who started `self`, the child of `parent`, where and on which machine.
void add_surroundings(const proc::ProcFs& proc, pid_t self, pid_t parent, core::RunReport& report);

/// getcwd(2); empty if the current directory was deleted.
[[nodiscard]] std::string current_directory();

}  // namespace reapctl::engine
