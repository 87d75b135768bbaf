#pragma once

#include "cli/options.hpp"
#include "sys/result.hpp"

#include <span>
#include <string>
#include <vector>

namespace reapctl::cli {

/// The words before the wrapped command, and the command with its arguments, byte for byte.
struct SplitArguments {
  std::vector<std::string> options;
  std::vector<std::string> command;
  std::vector<const OptionRow*> mentioned;  ///< the options among the words
};

/// Takes the command out of the arguments before CLI11 sees them: 2.1.2 would split "[a,b]" and take the command's
/// options for its own. The command begins after "--" or with the first word that is neither one of `options` nor the
/// value of one. Error: an unknown option.
[[nodiscard]] sys::Result<SplitArguments> split_command(std::span<const OptionRow> options,
                                                        const std::vector<std::string>& arguments);

}  // namespace reapctl::cli
