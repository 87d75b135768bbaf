#pragma once

#include "core/process.hpp"
#include "core/record.hpp"
#include "core/time.hpp"
#include "core/verdict.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

/// What list and show tell of the runs on record.
namespace reapctl::core {

inline constexpr int kExitNoSuchRun = 1;

struct ListedRun {
  std::string run_id;
  std::string user;
  uid_t owner = 0;
  Verdict verdict = Verdict::unknown;
  std::optional<RunRecord> record;  ///< nullopt: it cannot be read, `problem` says why
  std::string problem;
  std::optional<Millis> age;
  std::vector<ProcessDetails> processes;  ///< alive, parents before children where that is known

  [[nodiscard]] bool is_left_behind() const { return verdict == Verdict::orphaned || verdict == Verdict::gone; }
};

struct RunList {
  WallTime at;
  std::vector<ListedRun> runs;
  std::vector<std::string> warnings;
  bool incomplete = false;  ///< there may be runs of ours that could not be looked at
};

}  // namespace reapctl::core
