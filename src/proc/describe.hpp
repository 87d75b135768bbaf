#pragma once

#include "core/process.hpp"
#include "proc/listening.hpp"
#include "proc/proc_fs.hpp"

#include <chrono>

namespace reapctl::proc {

/// What reports show of a process: `stat` in readable units, and what else /proc says about it now.
/// `since_boot` is now on CLOCK_BOOTTIME, the clock of start ticks, proc_pid_stat(5); see proc::since_boot.
[[nodiscard]] core::ProcessDetails describe(const ProcFs& proc, const core::ProcessStat& stat,
                                            const ListeningSockets& listening, std::chrono::nanoseconds since_boot);

/// The same as far as `stat` says it, without a look into /proc.
[[nodiscard]] core::ProcessDetails describe_briefly(const core::ProcessStat& stat, std::chrono::nanoseconds since_boot);

}  // namespace reapctl::proc
