#include "engine/sweep_targets.hpp"

#include "engine/census.hpp"
#include "engine/registration.hpp"
#include "engine/run_facts.hpp"
#include "engine/stop_runs.hpp"
#include "proc/host.hpp"

#include <algorithm>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>
#include <utility>

namespace reapctl::engine {
namespace {

/// Between two tries for a lock that somebody else holds.
constexpr int kLockIntervalMs = 20;

/// Without a record nothing tells who holds the lock of an entry. Within this time a start has put its run on record,
/// an end has taken the lock away, and a guard that has let go of the lock has ended. For all such entries together.
constexpr std::chrono::seconds kLongestUnclear{1};

core::Millis age_of(const core::RunRecord& record, core::Verdict verdict) {
  if (verdict == core::Verdict::gone) {  // another boot had another clock
    return core::to_millis(std::chrono::system_clock::now() - record.started_at);
  }
  const auto started =
      core::Millis(record.supervisor.start_ticks * 1000 / static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK)));
  return core::to_millis(proc::since_boot()) - started;
}

core::SweptRun active_run(const RunCase& run) {
  return {.run_id = run.entry.run_id,
          .name = run.record()->name,
          .user = name_of_user(run.entry.owner),
          .verdict = core::Verdict::active,
          .reapctl_pids = {run.record()->supervisor.pid},
          .started_at = run.record()->started_at,
          .origin = run.record()->origin,
          .cgroup = {},
          .workdir = {},
          .remove = {},
          .lock_name = run.record()->lock_name,
          .reason = {}};
}

/// How many targets our descriptors suffice for. Each takes a lock, a directory and a pidfd; looking needs some, too.
std::size_t most_targets() {
  constexpr rlim_t kOthers = 100;
  constexpr rlim_t kEach = 3;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur <= kOthers + kEach) return 1;
  return static_cast<std::size_t>((limit.rlim_cur - kOthers) / kEach);
}

}  // namespace

std::vector<SweepTarget> TargetChoice::choose() {
  unclear_until_ = core::Clock::now() + kLongestUnclear;
  report_.runs_examined = static_cast<int>(cases_.cases.size());
  if (plan_.include_active && !plan_.dry_run) stop_active();
  for (std::size_t i = 0; i < cases_.cases.size(); ++i) choose_one(i);
  return std::move(targets_);
}

bool TargetChoice::is_wanted(const RunCase& run) const {
  if (!plan_.runs.empty() && std::none_of(plan_.runs.begin(), plan_.runs.end(), [&](const std::string& prefix) {
        return run.entry.run_id.starts_with(prefix);
      })) {
    return false;
  }
  if (!run.record()) return !plan_.name && !plan_.older_than;
  if (plan_.name && run.record()->name != *plan_.name) return false;
  return !plan_.older_than || age_of(*run.record(), run.verdict) >= *plan_.older_than;
}

/// By its whole id: then it is known what is meant.
bool TargetChoice::is_named(const RunCase& run) const {
  return std::find(plan_.runs.begin(), plan_.runs.end(), run.entry.run_id) != plan_.runs.end();
}

/// A sweep that runs inside of a run cannot stop it: it would wait for its own end.
bool TargetChoice::contains_us(const RunCase& run) const {
  const auto enclosing = enclosing_runs(::environ);
  if (std::find(enclosing.begin(), enclosing.end(), run.entry.run_id) != enclosing.end()) return true;
  const auto ancestors = this_sweeper(proc_).ancestors;
  return ancestors.contains(run.record()->supervisor.pid);
}

void TargetChoice::stop_active() {
  std::vector<std::size_t> active;
  for (std::size_t i = 0; i < cases_.cases.size(); ++i) {
    const RunCase& run = cases_.cases[i];
    if (run.verdict == core::Verdict::active && run.record() && is_wanted(run) && !contains_us(run))
      active.push_back(i);
  }
  const auto results = stop_runs(proc_, cases_, active, codec_, deadline_);
  std::vector<std::size_t> gone;
  for (std::size_t i = 0; i < active.size(); ++i) {
    const RunCase& run = cases_.cases[active[i]];
    core::SweptRun swept = active_run(run);
    swept.clean = results[i].gone;
    swept.reason = results[i].reason;
    if (results[i].gone) {
      gone.push_back(active[i]);
    } else if (run.verdict != core::Verdict::active) {
      continue;  // it is an orphan now, and dealt with as one
    } else {
      report_.incomplete = true;
    }
    report_.runs.push_back(std::move(swept));
  }
  for (auto index = gone.rbegin(); index != gone.rend(); ++index) {
    cases_.cases.erase(cases_.cases.begin() + static_cast<std::ptrdiff_t>(*index));
  }
}

void TargetChoice::skip(const RunCase& run, std::string reason) {
  report_.skipped.push_back({.run_id = run.entry.run_id,
                             .name = run.record() ? run.record()->name : "",
                             .user = name_of_user(run.entry.owner),
                             .verdict = std::string(core::name_of(run.verdict)),
                             .reason = std::move(reason)});
}

/// A run that stays on record, as a released one: its supervisor has ended, and its guard has let go of the lock and
/// ends a moment later. False when nothing is left of it on record.
bool TargetChoice::await_last_step(RunCase& run) {
  const auto contradicts_itself = [&run] {
    return run.verdict == core::Verdict::unknown && run.record() && run.entry.lock == core::LockState::free;
  };
  while (contradicts_itself() && core::Clock::now() < unclear_until_) {
    (void)::poll(nullptr, 0, kLockIntervalMs);
    if (!refresh(proc_, cases_, run, codec_)) return false;
  }
  return true;
}

/// By what it looks like before its lock is taken. If not, the report says why.
bool TargetChoice::is_to_be_swept(const RunCase& run) {
  switch (run.verdict) {
    case core::Verdict::active:
      if (!run.record()) return true;  // about to begin, or just ended
      if (plan_.include_active && contains_us(run)) {
        skip(run, "active, and this sweep runs inside of it");
      } else if (!plan_.include_active) {
        skip(run, "active");
      } else if (plan_.dry_run) {
        core::SweptRun swept = active_run(run);
        swept.reason = "would be stopped through its own reapctl";
        report_.runs.push_back(std::move(swept));
      }
      return false;
    case core::Verdict::foreign:
      if (run.entry.lock == core::LockState::free && is_named(run) && !plan_.dry_run) return true;
      skip(run, std::string("of another PID namespace: its pids mean nothing here") +
                    (run.entry.lock == core::LockState::free
                         ? "; if that namespace is gone, reapctl sweep " + run.entry.run_id + " clears it away"
                         : ""));
      return false;
    case core::Verdict::unknown:
      // Held, it may be the record of a newer reapctl, and there is nothing to be done; free, nobody looks after it.
      if (run.entry.lock != core::LockState::held || run.record()) report_.incomplete = true;
      if (!run.record()) {
        skip(run, run.entry.problem);
      } else {
        skip(run, run.entry.lock_problem.empty() ? "its lock and its processes contradict each other"
                                                 : run.entry.lock_problem);
      }
      return false;
    case core::Verdict::cleaning:
      if (plan_.dry_run) skip(run, "somebody is cleaning up after it");
      return !plan_.dry_run;
    case core::Verdict::orphaned:
    case core::Verdict::released:
    case core::Verdict::gone: break;
  }
  return true;
}

/// A start that was cut short before anything was on record: nothing was started, only the directory is there. It goes
/// at once, for the same directory may just be wanted by its start, which tries again.
void TargetChoice::remove_empty(RunCase& run) {
  const auto removed = remove_entry(cases_.registries[run.registry], run.entry.run_id, run.directory.get());
  if (removed) {
    report_.removed.push_back({.kind = "record", .path = run.entry.path, .run_id = run.entry.run_id});
  } else {
    report_.warnings.push_back("cannot " + removed.error().message());
    report_.incomplete = true;
  }
  run.lock.reset();
}

void TargetChoice::choose_one(std::size_t index) {
  RunCase& run = cases_.cases[index];
  if (is_wanted(run) && !await_last_step(run)) return;
  if (run.verdict == core::Verdict::active) ++report_.runs_active;
  if (run.verdict == core::Verdict::orphaned) ++report_.runs_orphaned;
  if (!is_wanted(run) || !is_to_be_swept(run)) return;
  if (plan_.dry_run && run.entry.empty) return;
  if (!plan_.dry_run && targets_.size() >= most_targets()) {
    skip(run, "no descriptors are left for it (ulimit -n): sweep again");
    report_.incomplete = true;
    return;
  }
  if (!plan_.dry_run && !claim_or_wait(run)) return;
  if (run.entry.empty) {
    remove_empty(run);
  } else {
    targets_.push_back({.index = index});
  }
}

/// Takes the lock of a run. Another holder of it is about to finish: another sweep, a command about to begin, or a
/// reapctl on its way out.
bool TargetChoice::claim_or_wait(RunCase& run) {
  for (;;) {
    switch (claim(proc_, cases_, run, codec_)) {
      case Claim::gone: return false;
      case Claim::bare:
        report_.removed.push_back({.kind = "record", .path = run.entry.path, .run_id = run.entry.run_id});
        return false;
      case Claim::failed:
        skip(run, "cannot " + run.obstacle);
        report_.incomplete = true;
        return false;
      case Claim::taken:
        if (run.entry.empty || run.verdict == core::Verdict::orphaned || run.verdict == core::Verdict::released ||
            run.verdict == core::Verdict::gone || run.verdict == core::Verdict::foreign) {
          return true;
        }
        skip(run, run.record() ? "it has changed meanwhile" : run.entry.problem);
        if (run.verdict == core::Verdict::unknown) report_.incomplete = true;
        run.lock.reset();
        return false;
      case Claim::busy: break;
    }
    if (!refresh(proc_, cases_, run, codec_)) return false;
    if (run.verdict == core::Verdict::active && (run.record() || core::Clock::now() >= unclear_until_)) return false;
    if (core::Clock::now() >= deadline_) {
      skip(run, "somebody has been cleaning up after it all the time");
      report_.incomplete = true;
      return false;
    }
    (void)::poll(nullptr, 0, kLockIntervalMs);  // no event tells that a lock has become free
  }
}

}  // namespace reapctl::engine
