#pragma once

#include "cli/options.hpp"
#include "core/plan.hpp"
#include "sys/result.hpp"

#include <string>
#include <vector>

namespace reapctl::cli {

/// Turns what was given into a complete plan. Errors name the option (or variable), the value and what is allowed.
[[nodiscard]] sys::Result<core::RunPlan> make_run_plan(const GivenOptions& given, std::vector<std::string> command);

}  // namespace reapctl::cli
