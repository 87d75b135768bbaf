#include "core/signal_policy.hpp"

#include <csignal>

namespace reapctl::core {

SignalUse classify(const ReceivedSignal& received, const SignalContext& context, const RunPlan& plan) {
  switch (received.number) {
    case SIGCHLD: return SignalUse::child_changed;
    case SIGTSTP:
    case SIGTTIN:
    case SIGTTOU: return received.ignored ? SignalUse::ignore : SignalUse::job_stop;
    case SIGPIPE:
    case SIGCONT: return SignalUse::ignore;
    default: break;
  }
  const bool reached_command =
      received.from_kernel && context.shared_group && !(received.number == SIGHUP && context.session_leader);
  const bool stops = plan.stop_on.contains(received.number) && !received.ignored;
  if (reached_command) return received.number == SIGINT && stops ? SignalUse::typed_interrupt : SignalUse::ignore;
  if (received.ignored && mapped_signal(received.number, plan) != received.number) return SignalUse::ignore;
  return stops ? SignalUse::stop : SignalUse::forward;
}

SignalUse classify_before_start(const ReceivedSignal& received, const SignalContext& context, const RunPlan& plan) {
  if (received.ignored) return SignalUse::ignore;
  switch (received.number) {
    case SIGTSTP:
    case SIGTTIN:
    case SIGTTOU: return SignalUse::job_stop;
    case SIGCHLD:
    case SIGPIPE:
    case SIGCONT:
    case SIGWINCH:
    case SIGURG: return SignalUse::ignore;
    default: break;
  }
  const bool dropped =
      classify(received, context, plan) == SignalUse::forward && mapped_signal(received.number, plan) == 0;
  return dropped ? SignalUse::ignore : SignalUse::stop;
}

int mapped_signal(int signal, const RunPlan& plan) {
  const auto mapping = plan.signal_map.find(signal);
  return mapping == plan.signal_map.end() ? signal : mapping->second;
}

}  // namespace reapctl::core
