#pragma once

#include "core/matching.hpp"
#include "core/sweep_plan.hpp"
#include "core/victims.hpp"
#include "engine/census.hpp"
#include "proc/proc_fs.hpp"

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace reapctl::engine {

/// Finds what the --match options of a sweep are for.
class ProcessMatcher {
 public:
  ProcessMatcher(const core::SweepPlan& plan, const proc::ProcFs& proc);

  /// Looks at all processes. One that may match but can't be read counts if it is of the user that --match-user names,
  /// or of our own (root's own are everybody's), or is named by its pid: those of others could not be killed anyway.
  [[nodiscard]] core::Matches look(const ProcessCensus& census);

  /// The ports of --match-port on which a process listens that cannot be found.
  [[nodiscard]] const std::vector<int>& ports_of_nobody() const { return ports_of_nobody_; }

 private:
  [[nodiscard]] core::MatchVerdict judge(const core::ProcessFacts& process, core::Holds listens) const;
  [[nodiscard]] core::Holds leads_to(pid_t pid, const char* link, const std::string& wanted,
                                     std::optional<proc::FileId> file) const;
  [[nodiscard]] core::Holds has_environment(pid_t pid) const;
  [[nodiscard]] core::Holds is_of_user(pid_t pid) const;
  [[nodiscard]] bool concerns_us(pid_t pid) const;
  [[nodiscard]] std::vector<core::Holds> listeners(const ProcessCensus& census);

  const core::SweepPlan& plan_;
  const proc::ProcFs& proc_;
  std::optional<proc::FileId> directory_;
  std::optional<proc::FileId> executable_;
  std::vector<int> ports_of_nobody_;
};

}  // namespace reapctl::engine
