#pragma once

#include "core/ladder.hpp"
#include "core/report.hpp"
#include "engine/tree.hpp"
#include "proc/proc_fs.hpp"
#include "sys/children.hpp"

#include <map>
#include <optional>
#include <sys/types.h>

namespace reapctl::engine {

/// To read the command line of a process that is forking is to wait until that has had its turn (its mmap_lock,
/// fs/proc/base.c): in a storm a tenth of a second for each. When describing has taken this long, and had to wait, the
/// rest are described by what is known already. A slow machine alone is no reason to say less.
inline constexpr core::Millis kDescribingTime{50};

/// Keeps the books of a run for its report: which processes were reaped, which were left over and what became of them,
/// how many each rung told. It looks, but it never signals.
class Ledger {
 public:
  Ledger(const proc::ProcFs& proc, Tree& tree, core::Millis describing_time = kDescribingTime)
      : proc_(proc), tree_(tree), describing_time_(describing_time) {}

  /// The tree as it is when a stop begins, for people who ask what hung.
  std::vector<core::ProcessDetails> snapshot();

  /// The main command has ended: every process that lives now is a leftover. Returns how many.
  int note_leftovers(core::TimePoint now);
  /// Those that were noted, core::kListLimit at most.
  [[nodiscard]] std::vector<core::ProcessId> leftovers() const;

  /// Some process other than the main command was reaped.
  void note_reaped(const sys::ChildEnd& child, core::TimePoint now);

  /// The main command was reaped.
  void note_main(const sys::ChildEnd& child);

  /// A rung has been sent; the one before it is over.
  void open_rung(std::string name, core::Millis at);
  /// The last rung is over.
  void close_rung();
  /// The same, and it has left these.
  void close_rung(const Tree::Standing& standing);

  /// Every process that is still there has survived the last rung.
  void note_survivors();

  /// The run is over: which ports has it left free?
  void note_freed_ports();

  [[nodiscard]] core::TreeReport tree() const;
  [[nodiscard]] const std::vector<core::RungReport>& rungs() const { return rungs_; }

 private:
  [[nodiscard]] std::vector<core::ProcessDetails> describe(std::vector<core::ProcessStat> processes) const;

  const proc::ProcFs& proc_;
  Tree& tree_;
  const core::Millis describing_time_;
  core::TreeReport report_;
  std::vector<core::ProcessDetails> snapshot_;
  std::map<pid_t, std::size_t> leftover_of_pid_;
  std::vector<core::RungReport> rungs_;
  bool rung_open_ = false;
  core::TimePoint main_ended_at_;
};

/// getrusage(2) in the report's units.
[[nodiscard]] core::ResourceUsage resource_usage(const rusage& usage);

}  // namespace reapctl::engine
