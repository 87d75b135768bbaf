#include "proc/describe.hpp"

#include <algorithm>
#include <cstdint>
#include <unistd.h>

namespace reapctl::proc {
namespace {

/// Whole seconds first: ticks times 1000 would overflow for absurd values.
std::int64_t ticks_to_ms(std::int64_t ticks) {
  const std::int64_t per_second = ::sysconf(_SC_CLK_TCK);
  return ticks / per_second * 1000 + ticks % per_second * 1000 / per_second;
}

}  // namespace

core::ProcessDetails describe_briefly(const core::ProcessStat& stat, std::chrono::nanoseconds since_boot) {
  const std::int64_t now_ms = std::chrono::duration_cast<std::chrono::milliseconds>(since_boot).count();
  const std::int64_t started_ms = ticks_to_ms(static_cast<std::int64_t>(stat.id.start_ticks));
  return {
      .pid = stat.id.pid,
      .ppid = stat.ppid,
      .pgid = stat.pgid,
      .sid = stat.sid,
      .start_ticks = stat.id.start_ticks,
      .comm = stat.comm,
      .argv = {},
      .state = stat.state,
      .wchan = {},
      .cpu_ms = ticks_to_ms(stat.cpu_ticks),
      .rss_bytes = stat.rss_pages * ::sysconf(_SC_PAGESIZE),
      .age_ms = std::max<std::int64_t>(0, now_ms - started_ms),
      .listening = {},
  };
}

core::ProcessDetails describe(const ProcFs& proc, const core::ProcessStat& stat, const ListeningSockets& listening,
                              std::chrono::nanoseconds since_boot) {
  core::ProcessDetails details = describe_briefly(stat, since_boot);
  details.argv = proc.cmdline(stat.id.pid);
  details.wchan = proc.wchan(stat.id.pid);
  details.listening = listening.of(stat.id.pid);
  // If another process has the pid by now, what was just read may be about that one.
  const auto again = proc.stat(stat.id.pid);
  if (again && again->id != stat.id) {
    details.argv.clear();
    details.wchan.clear();
    details.listening.clear();
  }
  return details;
}

}  // namespace reapctl::proc
