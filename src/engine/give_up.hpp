#pragma once

#include "core/plan.hpp"
#include "core/signal_policy.hpp"
#include "engine/output.hpp"
#include "engine/run_loop.hpp"

#include <sys/signalfd.h>

namespace reapctl::engine {

/// What a signal that came means for the run; nothing if our caller had it ignored.
[[nodiscard]] core::SignalUse use_of(const signalfd_siginfo& info, const core::SignalContext& signals,
                                     const core::RunPlan& plan);

/// For as long as the report waits for its reader: a request to stop ends the wait, a resized window does not.
[[nodiscard]] GiveUp give_up_when_asked(const core::RunPlan& plan, const RunResources& resources);

}  // namespace reapctl::engine
