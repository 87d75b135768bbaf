#pragma once

#include "cli/options.hpp"
#include "core/sweep_plan.hpp"

#include <string>
#include <vector>

namespace reapctl::cli {

/// Turns what was given into a complete plan. `runs`: the RUN operands. Throws BadOption.
[[nodiscard]] core::SweepPlan make_sweep_plan(const GivenOptions& given, const std::vector<std::string>& runs);

/// A RUN operand: an id or the beginning of one, in upper case. Throws BadOption.
[[nodiscard]] std::string run_prefix(const std::string& text);

}  // namespace reapctl::cli
