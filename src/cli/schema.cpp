#include "report/schema.hpp"

#include "cli/commands.hpp"
#include "cli/messages.hpp"
#include "core/exit_status.hpp"

#include <cstdio>

namespace reapctl::cli {

int schema_command(const Invocation& invocation) {
  const std::string name = invocation.operands.size() == 1 ? invocation.operands.front() : "";
  std::string known;
  for (const report::Schema& schema : report::schemas()) {
    if (schema.name == name) {
      const bool written = std::fwrite(schema.text.data(), 1, schema.text.size(), stdout) == schema.text.size();
      if (written && std::fflush(stdout) == 0) return 0;
      say_error("schema: cannot write to standard output");
      return core::kExitFailure;
    }
    known.append(known.empty() ? "" : ", ").append(schema.name);
  }
  switch (invocation.operands.size()) {
    case 0: say_error("schema: no name given: expected one of " + known); break;
    case 1: say_error("schema \"" + name + "\": expected one of " + known); break;
    default: say_error("schema: \"" + invocation.operands[1] + "\" is too much: expected one of " + known); break;
  }
  return core::kExitFailure;
}

}  // namespace reapctl::cli
