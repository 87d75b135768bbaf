#pragma once

#include "core/ownership.hpp"
#include "core/victims.hpp"
#include "proc/proc_fs.hpp"

#include <cstdint>
#include <vector>

namespace reapctl::engine {

struct ProcessCensus {
  std::vector<core::ProcessFacts> processes;
  bool complete = true;  ///< false: some were hidden or could not be read
};

/// Every process, and which runs its environment tells of. Environments are read of those only that were started at
/// `since_ticks` or later: no older process can belong to a run that was started then.
[[nodiscard]] ProcessCensus take_census(const proc::ProcFs& proc, std::uint64_t since_ticks);

/// Notes of each process in whose cgroup it is, of those of the runs that have one. To be called after the census: who
/// has a listed pid, and is still the process of the census when it is signalled, was in that cgroup.
void note_cgroups(ProcessCensus& census, const std::vector<core::OwningRun>& runs);

/// This process, as one that is never a victim.
[[nodiscard]] core::Sweeper this_sweeper(const proc::ProcFs& proc);

/// Whether processes of other users are hidden from us, proc(5) hidepid.
[[nodiscard]] bool hides_processes(const proc::ProcFs& proc);

}  // namespace reapctl::engine
