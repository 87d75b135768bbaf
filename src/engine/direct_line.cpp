#include "engine/direct_line.hpp"

#include "engine/give_up.hpp"
#include "sys/pid_fd.hpp"

#include <csignal>

namespace reapctl::engine {

void send_on(int pid_fd, int signal, const signalfd_siginfo& info) {
  siginfo_t queued{};
  queued.si_signo = signal;
  queued.si_code = SI_QUEUE;
  queued.si_pid = static_cast<pid_t>(info.ssi_pid);
  queued.si_uid = info.ssi_uid;
  queued.si_value.sival_ptr = reinterpret_cast<void*>(info.ssi_ptr);
  // A plain one comes from us, as kill(2) would send it.
  (void)sys::send_signal(pid_fd, signal, info.ssi_code == SI_QUEUE ? &queued : nullptr);
}

bool DirectLine::pass(const signalfd_siginfo& info) {
  if (plan_.forward_to != core::ForwardTo::main || use_of(info, signals_, plan_) != core::SignalUse::forward) {
    return false;
  }
  const int signal = core::mapped_signal(static_cast<int>(info.ssi_signo), plan_);
  if (signal == 0 || !reach()) return false;
  send_on(command_.get(), signal, info);
  return true;
}

/// The pid is the command's if it was not about to be reaped after the descriptor was opened.
bool DirectLine::reach() {
  const pid_t pid = page_.reachable_main.load();
  if (pid == 0) return false;
  if (command_.valid()) return true;
  auto opened = sys::open_pid_fd(pid);
  if (!opened || page_.reachable_main.load() != pid) return false;
  command_ = opened.take();
  return true;
}

}  // namespace reapctl::engine
