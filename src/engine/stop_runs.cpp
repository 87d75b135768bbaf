#include "engine/stop_runs.hpp"

#include "engine/tree.hpp"
#include "sys/pid_fd.hpp"

#include <algorithm>
#include <poll.h>

namespace reapctl::engine {
namespace {

/// The descriptors through which the end of the run's reapctl shows.
struct Watched {
  std::vector<sys::UniqueFd> reapctl;
};

Watched watch(const proc::ProcFs& proc, const core::RunRecord& record) {
  Watched watched;
  std::vector<core::ProcessId> ids = {record.supervisor};
  if (record.guard) ids.push_back(*record.guard);
  for (const core::ProcessId& id : ids) {
    auto pid_fd = sys::open_pid_fd(id.pid);
    if (pid_fd && is_running(proc, id)) watched.reapctl.push_back(pid_fd.take());
  }
  return watched;
}

/// The guard is whom the world knows; it passes the request on.
std::string request(const proc::ProcFs& proc, const core::RunRecord& record) {
  if (record.stop_signal == 0) return "no signal stops it (--stop-on none)";
  const bool guarded = record.guard && is_running(proc, *record.guard);
  const auto sent = signal_process(proc, guarded ? *record.guard : record.supervisor, record.stop_signal);
  if (sent || sent.error().code == ESRCH) return {};
  return "cannot " + sent.error().message();
}

}  // namespace

std::vector<StopResult> stop_runs(const proc::ProcFs& proc, RunCases& cases, const std::vector<std::size_t>& indices,
                                  const core::RecordCodec& codec, core::TimePoint deadline) {
  std::vector<StopResult> results(indices.size());
  std::vector<Watched> watched(indices.size());
  for (std::size_t i = 0; i < indices.size(); ++i) {
    const auto& record = cases.cases[indices[i]].record();
    if (!record) continue;
    watched[i] = watch(proc, *record);
    results[i].reason = request(proc, *record);
  }
  for (std::size_t i = 0; i < indices.size(); ++i) {
    if (!results[i].reason.empty()) continue;
    for (const sys::UniqueFd& pid_fd : watched[i].reapctl) {
      pollfd end{.fd = pid_fd.get(), .events = POLLIN, .revents = 0};
      const auto left = std::chrono::ceil<core::Millis>(deadline - core::Clock::now());
      const auto bounded = std::clamp(left, core::Millis(0), core::Millis(std::chrono::hours(24)));
      (void)::poll(&end, 1, static_cast<int>(bounded.count()));
    }
    RunCase& run = cases.cases[indices[i]];
    results[i].gone = !refresh(proc, cases, run, codec);
    if (results[i].gone) continue;
    results[i].reason = run.verdict == core::Verdict::active ? "still stopping when the time was over"
                                                             : "its reapctl has ended, but something is left of it";
  }
  return results;
}

}  // namespace reapctl::engine
