#include "sys/signals.hpp"

#include <cstdint>
#include <pthread.h>
#include <unistd.h>

namespace reapctl::sys {

sigset_t supervised_signals() {
  sigset_t set;
  sigfillset(&set);
  sigdelset(&set, SIGCONT);
  return set;
}

CallerSignals block_signals() {
  CallerSignals caller;
  const sigset_t set = supervised_signals();
  (void)pthread_sigmask(SIG_SETMASK, &set, &caller.mask);  // fails only for a bad first argument
  struct sigaction child {};
  (void)sigaction(SIGCHLD, nullptr, &child);
  // SA_NOCLDWAIT does not survive an exec, an ignored SIGCHLD does: sigaction(2).
  caller.child_ignored = child.sa_handler == SIG_IGN;
  if (caller.child_ignored) (void)std::signal(SIGCHLD, SIG_DFL);
  return caller;
}

Result<UniqueFd> open_signal_fd() {
  const sigset_t set = supervised_signals();
  UniqueFd fd(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!fd.valid()) return last_error("signalfd");
  return fd;
}

void hear_all_but(int signal_fd, std::span<const int> left) {
  sigset_t set = supervised_signals();
  for (const int signal : left) sigdelset(&set, signal);
  (void)::signalfd(signal_fd, &set, 0);  // no way to fail for a descriptor that is one
}

namespace {

/// A write of ours beyond RLIMIT_FSIZE raises SIGXFSZ in our own name (generic_write_check_limits() in mm/filemap.c,
/// send_sig() without `priv`), and our own RLIMIT_CPU the other one, from the kernel.
bool is_own_fault(const signalfd_siginfo& info) {
  const bool from_self = info.ssi_code == SI_USER && info.ssi_pid == static_cast<std::uint32_t>(::getpid());
  return (info.ssi_signo == SIGXFSZ && from_self) || (info.ssi_signo == SIGXCPU && info.ssi_code == SI_KERNEL);
}

}  // namespace

std::optional<signalfd_siginfo> next_signal(int signal_fd) {
  signalfd_siginfo info{};
  while (::read(signal_fd, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    if (!is_own_fault(info)) return info;
  }
  return std::nullopt;
}

bool is_ignored(int signal) {
  struct sigaction action {};
  return sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

void die_of(int signal) {
  (void)std::signal(signal, SIG_DFL);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  (void)::kill(::getpid(), signal);
  (void)pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

void stop_self() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTSTP);
  (void)::kill(::getpid(), SIGTSTP);
  (void)pthread_sigmask(SIG_UNBLOCK, &set, nullptr);  // here we stop, if we do
  (void)pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

}  // namespace reapctl::sys
