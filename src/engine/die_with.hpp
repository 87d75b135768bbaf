#pragma once

#include "core/plan.hpp"
#include "sys/result.hpp"
#include "sys/unique_fd.hpp"

namespace reapctl::engine {

/// What --die-with watches.
struct DieWithWatch {
  sys::UniqueFd pid_fd;       ///< for a process
  int fd = -1;                ///< the descriptor to watch, pid_fd or 0; -1 when there is nothing to watch
  std::uint32_t events = 0;   ///< for epoll
  bool gone_already = false;  ///< the process does not exist any more
};

/// Errors: standard input that cannot lose a writer, a parent outside of this PID namespace.
[[nodiscard]] sys::Result<DieWithWatch> watch_die_with(const core::DieWith& die_with);

}  // namespace reapctl::engine
