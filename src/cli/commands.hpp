#pragma once

#include "cli/run_options.hpp"
#include "sys/signals.hpp"

#include <string>
#include <vector>

/// One function a command: each takes what was parsed and returns the exit status.
namespace reapctl::cli {

struct GlobalOptions {
  bool verbose = false;
};

[[nodiscard]] int run_command(const GivenOptions& given, std::vector<std::string> command, const GlobalOptions& global,
                              const sys::CallerSignals& caller_signals);

[[nodiscard]] int schema_command(const std::string& name);

}  // namespace reapctl::cli
