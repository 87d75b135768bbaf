#pragma once

#include <string>
#include <vector>

/// Whether a process is one that --match-* is for: what can't be read is never "no".
namespace reapctl::core {

enum class Holds { no, unreadable, yes };

/// What was found out about one criterion.
struct Criterion {
  std::string name;  ///< "match-env", …
  std::string what;  ///< that can't be read: "its environment"
  Holds holds = Holds::no;
};

struct MatchVerdict {
  Holds holds = Holds::no;         ///< all of the criteria
  std::vector<std::string> names;  ///< of all criteria, if all hold
  std::string unreadable;          ///< else what it depends on
};

/// Several criteria are ANDed: one that does not hold settles it, whatever else can't be read.
[[nodiscard]] MatchVerdict judge(const std::vector<Criterion>& criteria);

/// Whether a link of /proc leads to `wanted`, by its name. A file or directory that is gone has " (deleted)" behind its
/// name, proc_pid_exe(5).
[[nodiscard]] bool leads_to(const std::string& link, const std::string& wanted);

}  // namespace reapctl::core
