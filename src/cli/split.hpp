#pragma once

#include "sys/result.hpp"

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace reapctl::cli {

/// The words before the wrapped command, and the command with its arguments, byte for byte.
struct SplitArguments {
  std::vector<std::string> options;
  std::vector<std::string> command;
};

/// Takes the command out of the arguments before CLI11 sees them: 2.1.2 would split "[a,b]" and take the command's
/// options for its own. The command begins after "--" or with the first word that is neither an option of `app` (or
/// of what it falls through to) nor the value of one. Error: an unknown option.
[[nodiscard]] sys::Result<SplitArguments> split_command(const CLI::App& app, const std::vector<std::string>& arguments);

}  // namespace reapctl::cli
