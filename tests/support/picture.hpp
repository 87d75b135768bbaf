#pragma once

#include "core/victims.hpp"

#include <cstddef>
#include <set>
#include <string>
#include <sys/types.h>
#include <utility>
#include <vector>

/// Runs and processes as a sweep sees them, made up.
namespace reapctl::test {

/// A run of user 1000 whose reapctl started at tick 10; with `main` its command is in session 77.
inline core::OwningRun run_of(std::string id, core::Verdict verdict, std::vector<std::string> enclosing = {},
                              core::ProcessId main = {}) {
  core::OwningRun run{.record = {}, .verdict = verdict};
  run.record.run_id = std::move(id);
  run.record.enclosing = std::move(enclosing);
  run.record.supervisor = {.pid = 100000, .start_ticks = 10};
  run.record.uid = 1000;
  if (main.pid != 0) run.record.main = core::MainOnRecord{.id = main, .pgid = main.pid, .sid = 77};
  return run;
}

/// A process that started at tick 50.
inline core::ProcessFacts process(pid_t pid, pid_t ppid, std::vector<std::string> cookies = {},
                                  std::string comm = "job") {
  core::ProcessFacts facts;
  facts.stat.id = {.pid = pid, .start_ticks = 50};
  facts.stat.comm = std::move(comm);
  facts.stat.ppid = ppid;
  facts.stat.pgid = pid;
  facts.stat.state = 'S';
  facts.cookies = std::move(cookies);
  return facts;
}

inline const core::Sweeper kSweeper{.pid = 9000, .pgid = 9000, .ancestors = {8999}};

/// What a sweep of all orphaned runs chooses.
inline core::Selection select(const std::vector<core::OwningRun>& runs,
                              const std::vector<core::ProcessFacts>& processes, const core::KnownOwners& known = {}) {
  std::set<std::size_t> targets;
  std::set<std::size_t> released;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (runs[i].verdict == core::Verdict::orphaned) targets.insert(i);
    if (runs[i].verdict == core::Verdict::released) released.insert(i);
  }
  return core::select_of_runs(runs, targets, released, processes, core::attribute(runs, processes, known), kSweeper);
}

/// The pids of the victims.
inline std::vector<pid_t> pids(const core::Selection& selection, const std::vector<core::ProcessFacts>& processes) {
  std::vector<pid_t> all;
  for (const core::Victim& victim : selection.victims) all.push_back(processes[victim.process].stat.id.pid);
  return all;
}

}  // namespace reapctl::test
