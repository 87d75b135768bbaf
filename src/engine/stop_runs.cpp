#include "engine/stop_runs.hpp"

#include "engine/tree.hpp"
#include "sys/pid_fd.hpp"

#include <algorithm>
#include <csignal>
#include <poll.h>

namespace reapctl::engine {
namespace {

/// How long a reapctl that was stopped meanwhile stays stopped, at most.
constexpr core::Millis kLookInterval{200};

/// The descriptors through which the end of the run's reapctl shows.
struct Watched {
  std::vector<sys::UniqueFd> reapctl;
};

std::vector<core::ProcessId> reapctl_of(const core::RunRecord& record) {
  std::vector<core::ProcessId> ids = {record.supervisor};
  if (record.guard) ids.push_back(*record.guard);
  return ids;
}

Watched watch(const proc::ProcFs& proc, const core::RunRecord& record) {
  Watched watched;
  for (const core::ProcessId& id : reapctl_of(record)) {
    auto pid_fd = sys::open_pid_fd(id.pid);
    if (pid_fd && is_running(proc, id)) watched.reapctl.push_back(pid_fd.take());
  }
  return watched;
}

/// A registry says what its owner has written into it. But a reapctl of the owner is a process of the owner.
bool is_of(const proc::ProcFs& proc, const core::ProcessId& id, uid_t owner) {
  const auto status = proc.status(id.pid);
  return !status || status->effective_uid == owner;  // gone: then nobody is signalled, for its identity is looked at
}

/// A reapctl that is stopped hears nothing until it is continued.
void continue_stopped(const proc::ProcFs& proc, const RunCase& run) {
  for (const core::ProcessId& id : reapctl_of(*run.record())) {
    const auto now = proc.stat(id.pid);
    if (now && now->id == id && now->state == 'T' && is_of(proc, id, run.entry.owner)) {
      (void)signal_process(proc, id, SIGCONT);  // if it is gone there is nobody to be continued
    }
  }
}

/// To the guard, if there is one: it passes the request on to the supervisor.
std::string request(const proc::ProcFs& proc, const RunCase& run) {
  const core::RunRecord& record = *run.record();
  if (record.stop_signal == 0) return "no signal stops it (--stop-on none)";
  const bool guarded = record.guard && is_running(proc, *record.guard);
  const core::ProcessId reapctl = guarded ? *record.guard : record.supervisor;
  if (!is_of(proc, reapctl, run.entry.owner)) {
    return "process " + std::to_string(reapctl.pid) + ", its reapctl by the record, is another user's";
  }
  const auto sent = signal_process(proc, reapctl, record.stop_signal);
  if (!sent && sent.error().code != ESRCH) return "cannot " + sent.error().message();
  return {};
}

}  // namespace

std::vector<StopResult> stop_runs(const proc::ProcFs& proc, RunCases& cases, const std::vector<std::size_t>& indices,
                                  const core::RecordCodec& codec, core::TimePoint deadline) {
  std::vector<StopResult> results(indices.size());
  std::vector<Watched> watched(indices.size());
  for (std::size_t i = 0; i < indices.size(); ++i) {
    const RunCase& run = cases.cases[indices[i]];
    if (!run.record()) continue;
    watched[i] = watch(proc, *run.record());
    results[i].reason = request(proc, run);
  }
  // Not only once: a stop that was sent before the request may take effect after it.
  const auto continue_all = [&] {
    for (std::size_t i = 0; i < indices.size(); ++i) {
      if (results[i].reason.empty() && cases.cases[indices[i]].record())
        continue_stopped(proc, cases.cases[indices[i]]);
    }
  };
  for (std::size_t i = 0; i < indices.size(); ++i) {
    if (!results[i].reason.empty()) continue;
    for (const sys::UniqueFd& pid_fd : watched[i].reapctl) {
      pollfd end{.fd = pid_fd.get(), .events = POLLIN, .revents = 0};
      do {
        continue_all();
        const auto left = std::chrono::ceil<core::Millis>(deadline - core::Clock::now());
        (void)::poll(&end, 1, static_cast<int>(std::clamp(left, core::Millis(0), kLookInterval).count()));
      } while (end.revents == 0 && core::Clock::now() < deadline);
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
