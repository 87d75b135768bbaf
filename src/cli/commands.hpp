#pragma once

#include "cli/options.hpp"
#include "sys/signals.hpp"

#include <span>
#include <string>
#include <vector>

/// The commands: each takes what was parsed and returns the exit status, or throws BadOption (cli/values.hpp).
namespace reapctl::cli {

/// One call of reapctl.
struct Invocation {
  GivenOptions given;
  std::vector<std::string> operands;  ///< words that are no options; for `run` the command with its arguments
  sys::CallerSignals caller_signals;
};

struct Command {
  std::string_view name;
  const char* summary;   ///< a line for `reapctl --help`
  const char* about;     ///< what its own help begins with: examples first
  const char* operands;  ///< what they are called in the help; empty for none
  bool wraps;            ///< the operands are a command, to be passed on byte for byte
  std::span<const OptionRow> options;
  int (*run)(const Invocation& invocation);
};

[[nodiscard]] std::span<const Command> commands();

[[nodiscard]] int run_command(const Invocation& invocation);
[[nodiscard]] int sweep_command(const Invocation& invocation);
[[nodiscard]] int list_command(const Invocation& invocation);
[[nodiscard]] int show_command(const Invocation& invocation);
[[nodiscard]] int stop_command(const Invocation& invocation);
[[nodiscard]] int doctor_command(const Invocation& invocation);
[[nodiscard]] int schema_command(const Invocation& invocation);

}  // namespace reapctl::cli
