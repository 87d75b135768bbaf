#pragma once

#include "core/plan.hpp"
#include "core/signal_policy.hpp"
#include "engine/shared_page.hpp"
#include "sys/unique_fd.hpp"

#include <sys/signalfd.h>

namespace reapctl::engine {

/// Sends the process behind `pid_fd` the signal of `info` as `signal`; the value of a queued one goes along. Nobody
/// asks whether that worked: the process may have ended. Source: pidfd_send_signal(2), signalfd(2).
void send_on(int pid_fd, int signal, const signalfd_siginfo& info);

/// From the guard straight to the command, for signals that reapctl only forwards: the supervisor, one more process to
/// wake up, would double the time that they take.
class DirectLine {
 public:
  /// All three outlive this.
  DirectLine(const SharedPage& page, const core::RunPlan& plan, const core::SignalContext& signals)
      : page_(page), plan_(plan), signals_(signals) {}

  /// Whether the command has it now; if not, the supervisor knows what to do with it.
  [[nodiscard]] bool pass(const signalfd_siginfo& info);

 private:
  [[nodiscard]] bool reach();

  const SharedPage& page_;
  const core::RunPlan& plan_;
  const core::SignalContext& signals_;
  sys::UniqueFd command_;
};

}  // namespace reapctl::engine
