#pragma once

#include "core/event.hpp"
#include "core/plan.hpp"
#include "core/record.hpp"
#include "core/report.hpp"
#include "engine/held_output.hpp"
#include "engine/output.hpp"
#include "engine/shared_page.hpp"
#include "sys/result.hpp"
#include "sys/signals.hpp"

#include <functional>
#include <string_view>
#include <vector>

namespace reapctl::engine {

/// What the runner tells while it runs. Each function may be empty.
struct RunObserver {
  std::function<void(const core::Event&)> event;
  std::function<void()> interrupt_hint;  ///< the second ^C in a row was typed
  /// A deletion takes long: this line replaces the one before, an empty one ends it.
  std::function<void(std::string_view line)> removal_progress;
};

/// What the runner needs of its caller besides the plan.
struct RunSetting {
  sys::CallerSignals caller_signals;
  std::string run_id;
  const core::RecordCodec* record_codec = nullptr;
  const HeldOutput* held = nullptr;  ///< takes the command's output: --quiet-on-success
  std::vector<int> keep_open;        ///< descriptors that the caller goes on using after the command has started
  /// Called once when the run is over, in whichever process is left to do so. It should put what is to be said into
  /// `shared`, if there is one, before it says it, and stop waiting for a reader when `give_up` says so.
  std::function<void(core::RunReport& report, const GiveUp& give_up, SharedReport* shared)> deliver;
  /// Called instead when the other process died while it delivered.
  std::function<void(SharedReport& shared, const GiveUp& give_up)> resume_delivery;
};

/// How a run ended.
struct RunOutcome {
  int exit_code = 0;
  /// On a terminal a command that died of ^C takes reapctl with it, or the shell would run on: fact 26.
  bool die_of_interrupt = false;
};

/// Runs a command from its start until nothing of it is left. Makes this process a child subreaper; afterwards its
/// working directory is "/" and the descriptors that it inherited are closed. With a guard both reapctl processes may
/// end in here (_exit), and an error may be returned in both: then the supervisor should exit as well. Error: a wish of
/// the plan cannot be met, and nothing was started; its text names the option.
[[nodiscard]] sys::Result<RunOutcome> run(const core::RunPlan& plan, const RunSetting& setting,
                                          const RunObserver& observer);

}  // namespace reapctl::engine
