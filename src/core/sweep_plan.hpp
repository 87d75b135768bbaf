#pragma once

#include "core/ladder.hpp"
#include "core/process.hpp"
#include "core/time.hpp"

#include <map>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace reapctl::core {

/// Processes that reapctl did not start, by what can be seen of them. All that is given has to hold.
struct MatchCriteria {
  std::vector<std::string> environment;  ///< "KEY=VALUE"
  std::vector<int> ports;                ///< listened on
  std::optional<std::string> cwd;        ///< absolute
  std::optional<std::string> executable;
  std::optional<pid_t> pid;
  std::optional<uid_t> uid;

  [[nodiscard]] bool any() const { return !environment.empty() || !ports.empty() || cwd || executable || pid; }
};

enum class SweepFormat { text, json, github };

/// What a sweep is to do: complete and validated.
struct SweepPlan {
  std::string registry;           ///< absolute; empty: the usual places
  std::vector<std::string> runs;  ///< ids or prefixes; empty: all
  std::optional<std::string> name;
  std::optional<Millis> older_than;
  bool include_active = false;
  bool dry_run = false;
  bool all_users = false;
  bool fail_if_found = false;
  bool confirmed = false;  ///< -y
  MatchCriteria match;
  /// The processes that somebody has seen and agreed to kill, and why each matched; if set, no others are killed.
  std::optional<std::map<ProcessId, std::vector<std::string>>> agreed;
  Ladder ladder;
  Millis stop_timeout{30000};
  SweepFormat format = SweepFormat::text;
};

}  // namespace reapctl::core
