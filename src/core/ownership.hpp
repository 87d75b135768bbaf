#pragma once

#include "core/process.hpp"
#include "core/record.hpp"
#include "core/verdict.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

/// Which process belongs to which run. Pure: a picture of the processes and the records go in, an owner for each comes
/// out.
namespace reapctl::core {

/// A run as far as it can own processes: of this boot and this PID namespace.
struct OwningRun {
  RunRecord record;
  Verdict verdict = Verdict::unknown;
  /// Whose processes the record is believed to tell of, besides their descendants; nullopt: everybody's. What another
  /// user has written may claim any process there is.
  std::optional<uid_t> only_of = {};
};

/// What the census found out about a process.
struct ProcessFacts {
  ProcessStat stat;
  std::vector<std::string> cookies;  ///< ids of the runs in its environment
  std::vector<std::string> cgroups;  ///< ids of the runs in whose own cgroup it is, or below
  bool environ_readable = true;
  std::optional<uid_t> uid;     ///< effective; only looked up where it decides something
  std::string supervises = {};  ///< id of a run whose lock it holds open, as its reapctl does
};

struct Owner {
  std::size_t run = 0;  ///< index in the runs
  bool recorded = false;
  bool cgroup = false;
  bool cookie = false;
  bool descendant = false;  ///< its parent belongs to the same run
};

/// What is known of a process besides what can be seen of it now: whose it was when it was seen the first time.
using KnownOwners = std::map<ProcessId, std::size_t>;

/// The owner of each process: the innermost run among those that its environment, its cgroup, the records, its parent
/// and `known` tell of. The records say which run encloses which; of two that know nothing of each other the one that
/// may not be swept counts, so that a doubt never kills.
[[nodiscard]] std::vector<std::optional<Owner>> attribute(const std::vector<OwningRun>& runs,
                                                          const std::vector<ProcessFacts>& processes,
                                                          const KnownOwners& known);

}  // namespace reapctl::core
