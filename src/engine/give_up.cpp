#include "engine/give_up.hpp"

#include "core/signal_policy.hpp"
#include "sys/signals.hpp"

#include <csignal>

namespace reapctl::engine {

core::SignalUse use_of(const signalfd_siginfo& info, const core::SignalContext& signals, const core::RunPlan& plan) {
  if (sys::is_ignored(static_cast<int>(info.ssi_signo))) return core::SignalUse::ignore;
  return core::classify({.number = static_cast<int>(info.ssi_signo), .from_kernel = info.ssi_code == SI_KERNEL},
                        signals, plan);
}

GiveUp give_up_when_asked(const core::RunPlan& plan, const RunResources& resources) {
  const auto asks = [&](const signalfd_siginfo& info) {
    const core::SignalUse use = use_of(info, resources.signals, plan);
    const bool stop = use == core::SignalUse::stop || use == core::SignalUse::typed_interrupt;
    return stop ? Asked::yes : Asked::no;
  };
  if (!resources.guard) {
    return {.fd = resources.signal_fd.get(), .asked = [asks, &resources] {
              const auto info = sys::next_signal(resources.signal_fd.get());
              return info ? asks(*info) : Asked::no;
            }};
  }
  // While the guard lives, a request comes from him; when he is gone nobody can make one.
  return {.fd = resources.guard->socket(), .asked = [asks, &resources] {
            const auto message = resources.guard->receive();
            if (!message) return Asked::nobody_left;
            return message->kind == GuardMessage::Kind::signal ? asks(message->signal) : Asked::no;
          }};
}

}  // namespace reapctl::engine
