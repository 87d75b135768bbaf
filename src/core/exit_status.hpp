#pragma once

#include "core/report.hpp"
#include "core/supervision.hpp"

#include <csignal>
#include <optional>
#include <set>

/// The one place that turns a wait status into an ExitStatus, and that into what reapctl itself exits with.
namespace reapctl::core {

inline constexpr int kExitOverlap = 75;  ///< EX_TEMPFAIL, sysexits.h
inline constexpr int kExitTimeout = 124;
inline constexpr int kExitFailure = 125;
inline constexpr int kExitNotExecutable = 126;
inline constexpr int kExitNotFound = 127;

/// What counts as success besides 0: --ok-exit.
struct OkExit {
  std::set<int> codes;
  std::set<int> signals;
};

/// From the siginfo that waitid(2) filled in for a process that has ended.
[[nodiscard]] ExitStatus exit_status(const siginfo_t& info);

/// True if the command ended as --ok-exit (or 0) says.
[[nodiscard]] bool succeeded(const ExitStatus& exit, const OkExit& ok);

/// The result of a finished run. `exit` is nullopt if the main command could not be killed.
[[nodiscard]] RunResult run_result(const std::optional<Stop>& stop, const std::optional<ExitStatus>& exit,
                                   const OkExit& ok);

/// What reapctl exits with, by the contract: the command's own code, 128+N, 124, 125, 126, 127.
[[nodiscard]] int exit_code(RunResult result, const std::optional<ExitStatus>& exit, const OkExit& ok, bool survivors);

/// The same for a run that was stopped before it began: 128+N after signal N, else 125.
[[nodiscard]] int exit_code_before_start(const std::optional<int>& signal);

/// Whether the run is one of which somebody should hear: everything but a success, and what was skipped because of
/// another run. A command that was stopped, or timed out, or left something behind, has failed even if it exited 0.
[[nodiscard]] bool has_failed(const RunReport& report);

}  // namespace reapctl::core
