#pragma once

#include "core/ownership.hpp"
#include "core/victims.hpp"
#include "proc/proc_fs.hpp"

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <sys/types.h>
#include <unordered_map>
#include <vector>

namespace reapctl::engine {

struct ProcessCensus {
  std::vector<core::ProcessFacts> processes;
  bool complete = true;   ///< false: some were hidden or could not be read
  std::string failure;    ///< why that is a failure and no matter of rights: then nobody can tell who is there
  bool restless = false;  ///< on each list somebody had ended before he was looked at, and may have left a child
  /// Runs in whose cgroup there may be somebody of whom no process tells.
  std::set<std::string> unsure_cgroups;
};

/// What the environments said, for the next look: until it is exec(2)'d a process keeps what it has, so to read it
/// again for everybody would be half of what a look costs. Whose environment lies elsewhere now is read anew.
class EnvironmentMemory {
 public:
  /// The cookies of the process as it was when it was remembered; nullptr when it was not, or may have changed.
  [[nodiscard]] const std::vector<std::string>* find(const core::ProcessStat& process) const;
  /// `process` is from before the environment was read: should it be exec'd in between, it is not believed next time.
  void remember(const core::ProcessStat& process, const std::vector<std::string>& cookies);

 private:
  struct Seen {
    std::uint64_t start_ticks = 0;
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    std::vector<std::string> cookies;
  };
  std::unordered_map<pid_t, Seen> seen_;
};

/// Every process, and which runs its environment tells of. Environments are read of those only that were started at
/// `since_ticks` or later: no older process can belong to a run that was started then.
[[nodiscard]] ProcessCensus take_census(const proc::ProcFs& proc, std::uint64_t since_ticks, EnvironmentMemory& memory);

/// Notes of each process in whose cgroup it is, of those of the runs that have one, and in which of these somebody may
/// be besides. To be called after the census: who has a listed pid, and is still the process of the census when it is
/// signalled, was in that cgroup.
void note_cgroups(ProcessCensus& census, const std::vector<core::OwningRun>& runs);

/// Looks up the users of the processes that a record of another user's tells of: it is not believed of everybody's.
void note_users(ProcessCensus& census, const std::vector<core::OwningRun>& runs, const proc::ProcFs& proc);

/// Takes for dead each reapctl of the runs that has been killed, or has ended with its first thread, though another
/// hangs in the kernel, over a deletion: it does no more, and cannot be killed any further. It stays in the picture,
/// for until it has quite ended it is the parent by whom its children are known. To be called after note_users: a
/// record of another user's is not believed of everybody's.
void count_as_dead(ProcessCensus& census, const std::vector<core::OwningRun>& runs);

/// Notes of each process of `which` (indices) the run whose lock it holds open: nothing but the reapctl of a run does
/// so for longer than a moment, and it tells of runs whose record is not known here.
void note_locks(ProcessCensus& census, const std::set<std::size_t>& which, const proc::ProcFs& proc);

/// This process, as one that is never a victim.
[[nodiscard]] core::Sweeper this_sweeper(const proc::ProcFs& proc);

/// Whether processes of other users are hidden from us, proc(5) hidepid.
[[nodiscard]] bool hides_processes(const proc::ProcFs& proc);

}  // namespace reapctl::engine
