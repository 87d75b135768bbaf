#include "cli/commands.hpp"
#include "cli/messages.hpp"
#include "cli/print.hpp"
#include "cli/runs.hpp"
#include "core/exit_status.hpp"
#include "core/sweep_report.hpp"
#include "report/list_report.hpp"

#include <unistd.h>

namespace reapctl::cli {

int list_command(const Invocation& invocation) {
  restore_caller_signals(invocation);
  const bool json = wants_json(invocation.given);
  if (invocation.given.has("all-users") && ::geteuid() != 0) {
    throw BadOption{"--all-users: only root can see the runs of others"};
  }
  const auto list = list_runs(invocation.given);
  if (print(json ? report::list_json(list) : report::list_text(list))) return list.incomplete ? core::kExitNotGone : 0;
  say_error("list: cannot write to standard output");
  return core::kExitFailure;
}

}  // namespace reapctl::cli
