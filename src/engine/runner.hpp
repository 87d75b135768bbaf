#pragma once

#include "core/event.hpp"
#include "core/plan.hpp"
#include "core/report.hpp"
#include "sys/result.hpp"
#include "sys/signals.hpp"
#include "sys/unique_fd.hpp"

#include <functional>
#include <vector>

namespace reapctl::engine {

/// What the runner tells while it runs. Either function may be empty.
struct RunObserver {
  std::function<void(const core::Event&)> event;
  std::function<void()> interrupt_hint;  ///< the second ^C in a row was typed
};

/// What the runner needs of its caller besides the plan.
struct RunSetting {
  sys::CallerSignals caller_signals;
  std::string run_id;
  std::vector<int> keep_open;  ///< descriptors that the caller goes on using after the command has started
  bool report_wanted = true;   ///< false: nothing is looked up that only the report shows
};

/// How a run ended.
struct RunOutcome {
  core::RunReport report;
  /// On a terminal a command that died of ^C takes reapctl with it, or the shell would run on: fact 26.
  bool die_of_interrupt = false;
  /// Further signals to reapctl come here: whoever waits for a slow reader of the report should listen to it.
  sys::UniqueFd signal_fd;
};

/// Runs a command from its start until nothing of it is left. Makes this process a child subreaper; afterwards its
/// working directory is "/" and the descriptors that it inherited are closed. Error: a wish of the plan cannot be
/// met, and nothing was started; its text names the option.
[[nodiscard]] sys::Result<RunOutcome> run(const core::RunPlan& plan, const RunSetting& setting,
                                          const RunObserver& observer);

}  // namespace reapctl::engine
