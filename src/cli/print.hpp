#pragma once

#include "cli/commands.hpp"

#include <string_view>

/// What the commands that look and print have in common.
namespace reapctl::cli {

/// These commands are stopped by a signal like any other program; only `run` has something to do with signals.
void restore_caller_signals(const Invocation& invocation);

/// Writes a text and a line feed to standard output. False if that failed, which is said in the name of `command`.
[[nodiscard]] bool print(std::string_view command, std::string_view text);

}  // namespace reapctl::cli
