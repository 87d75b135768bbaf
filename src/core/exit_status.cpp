#include "core/exit_status.hpp"

#include <cerrno>

namespace reapctl::core {

ExitStatus exit_status(const siginfo_t& info) {
  switch (info.si_code) {
    case CLD_KILLED: return {.kind = ExitKind::killed, .code = {}, .signal = info.si_status, .failed_stage = {}};
    case CLD_DUMPED: return {.kind = ExitKind::dumped, .code = {}, .signal = info.si_status, .failed_stage = {}};
    default: return {.kind = ExitKind::exited, .code = info.si_status, .signal = {}, .failed_stage = {}};
  }
}

bool succeeded(const ExitStatus& exit, const OkExit& ok) {
  switch (exit.kind) {
    case ExitKind::exited: return exit.code == 0 || (exit.code && ok.codes.contains(*exit.code));
    case ExitKind::killed:
    case ExitKind::dumped: return exit.signal && ok.signals.contains(*exit.signal);
    case ExitKind::not_started: return false;
  }
  return false;
}

RunResult run_result(const std::optional<Stop>& stop, const std::optional<ExitStatus>& exit, const OkExit& ok) {
  if (stop && stop->cause == StopCause::supervisor_death) return RunResult::supervisor_died;
  if (stop && stop->cause == StopCause::guard_death) return RunResult::guard_died;
  if (exit && exit->kind == ExitKind::not_started) return RunResult::not_started;
  if (stop && stop->cause == StopCause::timeout) return RunResult::timeout;
  if (stop && stop->cause != StopCause::leftovers) return RunResult::stopped;
  if (!exit) return RunResult::stopped;
  if (succeeded(*exit, ok)) return RunResult::success;
  switch (exit->kind) {
    case ExitKind::dumped: return RunResult::core_dump;
    case ExitKind::killed: return RunResult::signal;
    case ExitKind::exited:
    case ExitKind::not_started: return RunResult::exit_code;
  }
  return RunResult::exit_code;
}

int exit_code(RunResult result, const std::optional<ExitStatus>& exit, const OkExit& ok, bool survivors) {
  if (result == RunResult::timeout) return kExitTimeout;
  if (!exit || result == RunResult::supervisor_died || result == RunResult::guard_died) return kExitFailure;
  if (exit->kind == ExitKind::not_started) {
    if (exit->failed_stage != "exec") return kExitFailure;
    return exit->failed_errno == ENOENT ? kExitNotFound : kExitNotExecutable;
  }
  int code = 0;
  if (!succeeded(*exit, ok)) code = exit->signal ? 128 + *exit->signal : exit->code.value_or(kExitFailure);
  return code == 0 && survivors ? kExitFailure : code;
}

bool has_failed(const RunReport& report) {
  const bool skipped = report.result == RunResult::overlap;
  const bool well = report.result == RunResult::success || skipped;
  return !well || report.exit_code != 0 || report.tree.survivors_total > 0;
}

int exit_code_before_start(const std::optional<int>& signal) {
  return signal ? 128 + *signal : kExitFailure;
}

}  // namespace reapctl::core
