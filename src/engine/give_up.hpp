#pragma once

#include "core/plan.hpp"
#include "core/signal_policy.hpp"
#include "engine/output.hpp"
#include "engine/run_loop.hpp"

#include <sys/signalfd.h>

namespace reapctl::engine {

/// A signal that came, as the policy sees it.
[[nodiscard]] core::ReceivedSignal received(const signalfd_siginfo& info);

/// What a signal that came means for the run.
[[nodiscard]] core::SignalUse use_of(const signalfd_siginfo& info, const core::SignalContext& signals,
                                     const core::RunPlan& plan);

/// For as long as the report waits for its reader: a request to stop ends the wait, a resized window does not.
[[nodiscard]] GiveUp give_up_when_asked(const core::RunPlan& plan, const RunResources& resources);

/// While the command, whose start began at `started_at`, is in the middle of its exec: whether something has come that
/// ends the run. Takes nothing away, allocates nothing, and makes no call that fails.
[[nodiscard]] bool is_unwanted(const core::RunPlan& plan, const RunResources& resources, core::TimePoint started_at);

}  // namespace reapctl::engine
