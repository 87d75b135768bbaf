#pragma once

#include "core/plan.hpp"
#include "engine/output.hpp"
#include "engine/run_loop.hpp"

namespace reapctl::engine {

/// For as long as the report waits for its reader: a request to stop ends the wait, a resized window does not.
[[nodiscard]] GiveUp give_up_when_asked(const core::RunPlan& plan, const RunResources& resources);

}  // namespace reapctl::engine
