#include "cli/print.hpp"

#include "cli/messages.hpp"

#include <csignal>
#include <cstdio>
#include <pthread.h>

namespace reapctl::cli {

void restore_caller_signals(const Invocation& invocation) {
  // Fails for an invalid argument only.
  (void)::pthread_sigmask(SIG_SETMASK, &invocation.caller_signals.mask, nullptr);
}

bool print(std::string_view command, std::string_view text) {
  const bool written =
      std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fputc('\n', stdout) == '\n';
  if (written && std::fflush(stdout) == 0) return true;
  say_error(std::string(command) + ": cannot write to standard output");
  return false;
}

}  // namespace reapctl::cli
