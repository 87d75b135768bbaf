#include "report/names.hpp"

namespace reapctl::report {

// No default label anywhere here: the compiler names the enumerator that has no word yet.

std::string_view name_of(core::RunResult result) {
  switch (result) {
    case core::RunResult::supervisor_died: return "supervisor-died";
    case core::RunResult::guard_died: return "guard-died";
    case core::RunResult::not_started: return "not-started";
    case core::RunResult::overlap: return "overlap";
    case core::RunResult::timeout: return "timeout";
    case core::RunResult::stopped: return "stopped";
    case core::RunResult::core_dump: return "core-dump";
    case core::RunResult::signal: return "signal";
    case core::RunResult::exit_code: return "exit-code";
    case core::RunResult::success: return "success";
  }
  return {};
}

std::string_view name_of(core::StopCause cause) {
  switch (cause) {
    case core::StopCause::signal: return "signal";
    case core::StopCause::timeout: return "timeout";
    case core::StopCause::leftovers: return "leftovers";
    case core::StopCause::die_with: return "die-with";
    case core::StopCause::guard_death: return "guard-death";
    case core::StopCause::supervisor_death: return "supervisor-death";
  }
  return {};
}

std::string_view name_of(core::ExitKind kind) {
  switch (kind) {
    case core::ExitKind::exited: return "exited";
    case core::ExitKind::killed: return "killed";
    case core::ExitKind::dumped: return "dumped";
    case core::ExitKind::not_started: return "not-started";
  }
  return {};
}

std::string_view name_of(core::SignalAction action) {
  switch (action) {
    case core::SignalAction::forwarded: return "forwarded";
    case core::SignalAction::stop: return "stop";
    case core::SignalAction::next_rung: return "next-rung";
    case core::SignalAction::kill: return "kill";
    case core::SignalAction::ignored: return "ignored";
  }
  return {};
}

}  // namespace reapctl::report
