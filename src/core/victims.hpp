#pragma once

#include "core/ownership.hpp"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <sys/types.h>
#include <vector>

namespace reapctl::core {

/// The process that sweeps: neither it nor those that wait for it are ever victims.
struct Sweeper {
  pid_t pid = 0;
  pid_t pgid = 0;
  std::set<pid_t> ancestors;
};

struct Victim {
  std::size_t process = 0;                 ///< index in the processes
  std::optional<std::size_t> run;          ///< nullopt: found by --match-*
  std::vector<std::string> identified_by;  ///< in this order: recorded, cgroup, cookie, descendant, or match-…
};

/// A process that is left alone, and why.
struct Unjudged {
  std::size_t process = 0;
  std::vector<std::size_t> runs;  ///< that it belongs to, or could
  std::string reason;
};

struct Selection {
  std::vector<Victim> victims;
  std::vector<Unjudged> unknown;   ///< could be what is to be swept: nobody can tell
  std::vector<Unjudged> spared;    ///< found by --match-*, and certainly not to be swept
  std::vector<Unjudged> released;  ///< could be of a released run: no victim in any case, but the run may be alive
};

/// What a sweep of runs is for: all living processes whose owner is one of `targets`. Of the `released` runs nobody is
/// a victim.
[[nodiscard]] Selection select_of_runs(const std::vector<OwningRun>& runs, const std::set<std::size_t>& targets,
                                       const std::set<std::size_t>& released,
                                       const std::vector<ProcessFacts>& processes,
                                       const std::vector<std::optional<Owner>>& owners, const Sweeper& sweeper);

/// What --match-* found: processes by their index.
struct Matches {
  std::map<std::size_t, std::vector<std::string>> matched;  ///< with the criteria that each meets, all of them
  std::map<std::size_t, std::string> unreadable;            ///< may meet them all: what could not be read
  std::optional<pid_t> named;                               ///< by --match-pid: to spare it is no success
};

/// What --match-* is for: those that match and their descendants, unless they belong to a run that is not orphaned.
[[nodiscard]] Selection select_matched(const std::vector<OwningRun>& runs, const Matches& matches,
                                       const std::vector<ProcessFacts>& processes,
                                       const std::vector<std::optional<Owner>>& owners, const Sweeper& sweeper);

}  // namespace reapctl::core
