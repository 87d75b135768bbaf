#include "engine/doctor.hpp"

#include "cli/commands.hpp"
#include "cli/messages.hpp"
#include "cli/print.hpp"
#include "cli/runs.hpp"
#include "core/exit_status.hpp"
#include "report/doctor.hpp"
#include "report/record_json.hpp"

namespace reapctl::cli {

int doctor_command(const Invocation& invocation) {
  restore_caller_signals(invocation);
  const bool json = wants_json(invocation.given);
  const engine::RegistryPlaces places{.chosen = registry_directory(invocation.given)};
  const auto report = engine::examine(proc::ProcFs(), places, report::record_codec());
  if (print(json ? report::to_json(report) : report::to_text(report))) return 0;
  say_error("doctor: cannot write to standard output");
  return core::kExitFailure;
}

}  // namespace reapctl::cli
