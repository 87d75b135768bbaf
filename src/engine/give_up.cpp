#include "engine/give_up.hpp"

#include "core/signal_policy.hpp"
#include "sys/descriptors.hpp"
#include "sys/signals.hpp"

#include <algorithm>
#include <csignal>
#include <poll.h>

namespace reapctl::engine {

core::ReceivedSignal received(const signalfd_siginfo& info) {
  const int number = static_cast<int>(info.ssi_signo);
  return {.number = number, .from_kernel = info.ssi_code == SI_KERNEL, .ignored = sys::is_ignored(number)};
}

core::SignalUse use_of(const signalfd_siginfo& info, const core::SignalContext& signals, const core::RunPlan& plan) {
  return core::classify(received(info), signals, plan);
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

bool is_unwanted(const core::RunPlan& plan, const RunResources& resources, core::TimePoint started_at) {
  if (plan.rules.timeout && core::Clock::now() >= started_at + *plan.rules.timeout) return true;
  if (resources.die_with.fd >= 0 && sys::is_ready(resources.die_with.fd, resources.die_with.events)) return true;
  if (resources.guard) {
    return sys::is_ready(resources.guard->pid_fd(), POLLIN) || resources.page->stop_asked.load();
  }
  sigset_t pending;
  (void)::sigpending(&pending);
  return std::any_of(plan.stop_on.begin(), plan.stop_on.end(), [&](int signal) {
    const bool may_be_typed = signal == SIGINT && resources.signals.shared_group;  // then the child has it as well
    return sigismember(&pending, signal) == 1 && !may_be_typed && !sys::is_ignored(signal);
  });
}

}  // namespace reapctl::engine
