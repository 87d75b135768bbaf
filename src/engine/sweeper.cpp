#include "engine/sweeper.hpp"

#include "core/supervision.hpp"
#include "engine/leftovers_helper.hpp"
#include "engine/registration.hpp"
#include "engine/run_cgroup.hpp"
#include "proc/describe.hpp"
#include "proc/host.hpp"
#include "proc/listening.hpp"

#include <algorithm>
#include <set>
#include <sys/resource.h>
#include <unistd.h>
#include <utility>

namespace reapctl::engine {
namespace {

/// What a deletion gets even if the sweep is to kill at once: there is nothing to be waited for but the disk.
constexpr core::Millis kDeletionBound{5000};

/// How long one looks for the next of those that end before they can be looked at, when nobody of the runs is seen.
/// There are some on any busy machine, all of them strangers.
constexpr core::Millis kRestlessBound{1000};

/// A lock and a directory for each run, a pidfd for each victim: as many as we may.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &limit);  // then fewer runs are dealt with at once
}

std::string counted(int count, const char* what) {
  return std::to_string(count) + (count == 1 ? " process " : " processes ") + what;
}

/// The usual registries that can be read, of all users for root, without those of `cases`.
std::vector<Registry> open_elsewhere(const RunCases& cases) {
  std::vector<std::string> ignored;  // what is refused protects nobody, and who sweeps it is told
  std::vector<Registry> found;
  if (::geteuid() == 0) {
    found = Registry::open_of_all_users({}, ignored);
  } else if (auto own = Registry::open_existing({}, ignored)) {
    found = own.take();
  }
  std::erase_if(found, [&](const Registry& registry) {
    return std::any_of(cases.registries.begin(), cases.registries.end(),
                       [&](const Registry& swept) { return swept.is_same_as(registry); });
  });
  return found;
}

}  // namespace

core::SweepReport Sweeper::run(std::vector<Registry> registries) {
  began_at_ = core::Clock::now();
  report_.started_at = std::chrono::system_clock::now();
  report_.dry_run = plan_.dry_run;
  raise_descriptor_limit();
  cases_ = read_cases(proc_, std::move(registries), codec_);
  report_.warnings = cases_.warnings;
  report_.incomplete = !cases_.warnings.empty();
  if (!plan_.match.any()) {
    targets_ = TargetChoice(plan_, codec_, proc_, cases_, report_, began_at_ + plan_.stop_timeout).choose();
  }
  RunCases others;
  if (plan_.match.any() || !targets_.empty()) others = read_cases(proc_, open_elsewhere(cases_), codec_);
  observer_.emplace(plan_, codec_, proc_, cases_, targets_, others);
  if (!observer_->nothing_to_see()) {
    if (plan_.dry_run) {
      const SweepPicture picture = observer_->look();
      note(picture);
      count_living(picture);
    } else {
      kill();
    }
  }
  if (!plan_.dry_run) clean_up();
  describe_targets();
  conclude();
  return std::move(report_);
}

core::SweptProcess Sweeper::describe(const SweepPicture& picture, std::size_t process, std::optional<std::size_t> run,
                                     const proc::ListeningSockets& listening) const {
  const core::ProcessStat& stat = picture.census.processes[process].stat;
  core::SweptProcess swept;
  swept.process = proc::describe(proc_, stat, listening, proc::since_boot());
  if (const auto status = proc_.status(stat.id.pid)) swept.user = name_of_user(status->effective_uid);
  swept.owner_verdict = "none";
  if (run) {
    const core::OwningRun& owner = observer_->run(*run);
    swept.run_id = owner.record.run_id;
    swept.name = owner.record.name;
    swept.owner_verdict = core::name_of(owner.verdict);
  }
  return swept;
}

/// False: it has been said before.
bool Sweeper::warn(std::string warning) {
  auto& said = report_.warnings;
  if (std::find(said.begin(), said.end(), warning) != said.end()) return false;
  said.push_back(std::move(warning));
  return true;
}

/// Writes down whoever is seen for the first time.
void Sweeper::note(const SweepPicture& picture) {
  report_.processes_examined = std::max(report_.processes_examined, static_cast<int>(picture.census.processes.size()));
  if (!picture.census.complete && picture.census.failure.empty()) {
    (void)warn("the census is incomplete: processes of others are hidden (hidepid)");
  }
  for (const int port : observer_->ports_of_nobody()) {
    if (warn("port " + std::to_string(port) + " is listened on by a process that cannot be found")) {
      report_.incomplete = true;
    }
  }
  for (const core::Unjudged& spared : picture.selection.spared) note_spared(picture, spared);
  if (picture.selection.victims.empty() && picture.selection.unknown.empty()) return;
  const proc::ListeningSockets listening(proc_);
  for (const core::Victim& victim : picture.selection.victims) {
    const core::ProcessId id = picture.census.processes[victim.process].stat.id;
    if (!victim_of_process_.try_emplace(id, report_.victims.size()).second) continue;
    report_.victims.push_back(describe(picture, victim.process, victim.run, listening));
    report_.victims.back().identified_by = victim.identified_by;
  }
  for (const core::Unjudged& unjudged : picture.selection.unknown) {
    const core::ProcessId id = picture.census.processes[unjudged.process].stat.id;
    if (!unknown_of_process_.try_emplace(id, report_.unknown.size()).second) continue;
    std::optional<std::size_t> run;
    if (!unjudged.runs.empty()) run = unjudged.runs.front();
    report_.unknown.push_back(describe(picture, unjudged.process, run, listening));
    report_.unknown.back().reason = unjudged.reason;
  }
}

/// One line for each process, or for each run if it is of one.
void Sweeper::note_spared(const SweepPicture& picture, const core::Unjudged& spared) {
  const core::ProcessStat& stat = picture.census.processes[spared.process].stat;
  core::SkippedItem item;
  if (spared.runs.empty()) {
    item.reason = "process " + std::to_string(stat.id.pid) + " (" + stat.comm + "): " + spared.reason;
  } else {
    const core::OwningRun& run = observer_->run(spared.runs.front());
    item.run_id = run.record.run_id;
    item.name = run.record.name;
    item.user = name_of_user(run.only_of.value_or(::geteuid()));
    item.verdict = core::name_of(run.verdict);
    item.reason = run.verdict == core::Verdict::orphaned ? spared.reason : item.verdict;
  }
  const auto is_same = [&](const core::SkippedItem& known) {
    return known.run_id == item.run_id && known.reason == item.reason;
  };
  if (std::none_of(report_.skipped.begin(), report_.skipped.end(), is_same)) report_.skipped.push_back(std::move(item));
}

/// The report's entry; a new one for a child that was born too late to be seen, and was stopped with its parent.
core::SweptProcess& Sweeper::victim_of(const VictimEnd& end) {
  const core::ProcessStat& stat = end.process;
  const auto [entry, is_new] = victim_of_process_.try_emplace(stat.id, report_.victims.size());
  if (!is_new) return report_.victims[entry->second];
  core::SweptProcess swept;
  swept.process.pid = stat.id.pid;
  swept.process.start_ticks = stat.id.start_ticks;
  swept.process.ppid = stat.ppid;
  swept.process.comm = stat.comm;
  swept.process.state = stat.state;
  swept.identified_by = {"descendant"};
  const auto parent = std::find_if(report_.victims.begin(), report_.victims.end(),
                                   [&](const core::SweptProcess& victim) { return victim.process.pid == stat.ppid; });
  if (parent != report_.victims.end()) {
    swept.run_id = parent->run_id;
    swept.name = parent->name;
    swept.owner_verdict = parent->owner_verdict;
    swept.user = parent->user;
  }
  report_.victims.push_back(std::move(swept));
  return report_.victims.back();
}

void Sweeper::kill() {
  bool nobody_left = false;
  core::TimePoint seen_at = core::Clock::now();
  const auto may_hide = [&seen_at](const SweepPicture& picture) {
    const core::TimePoint now = core::Clock::now();
    if (!picture.selection.victims.empty()) seen_at = now;
    return picture.census.restless && now < seen_at + kRestlessBound;
  };
  const auto scan = [&, this] {
    SweepPicture picture = observer_->look();
    const bool more = may_hide(picture);
    note(picture);
    count_living(picture);
    nobody_left = picture.selection.victims.empty();
    VictimLadder::Sight sight;
    for (const core::ProcessFacts& process : picture.census.processes) sight.others.insert(process.stat.id);
    for (const core::Victim& victim : picture.selection.victims) {
      sight.victims.push_back(std::move(picture.census.processes[victim.process].stat));
      sight.others.erase(sight.victims.back().id);
    }
    sight.more = more || observer_->cgroups_to_kill_are_populated();
    nobody_left = nobody_left && !sight.more;
    return sight;
  };
  VictimLadder ladder(proc_, plan_.ladder, core::graceful_share(plan_.stop_timeout), scan,
                      [this] { observer_->kill_cgroups(); });
  ladder.run();
  for (const auto& [id, end] : ladder.ends()) {
    core::SweptProcess& victim = victim_of(end);
    victim.died_of = end.died_of;
    victim.after = end.after;
    victim.rung = end.rung;
    if (end.after) continue;
    victim.reason = end.refused.empty() ? "still there after SIGKILL" : "a signal was refused with " + end.refused;
    report_.survivors.push_back(victim);
  }
  // What is still there after the last signal decides what may be deleted.
  if (nobody_left) return;
  const SweepPicture last = observer_->look();
  note(last);
  count_living(last);
  if (may_hide(last) && survey_failure_.empty()) survey_failure_ = "keep up with processes that fork and end at once";
}

void Sweeper::clean_up() {
  for (SweepTarget& target : targets_) {
    if (!is_left_running(target)) clean_up(target);
  }
}

void Sweeper::skip(const SweepTarget& target, std::string verdict, std::string reason) {
  RunCase& run = cases_.cases[target.index];
  report_.skipped.push_back({.run_id = run.entry.run_id,
                             .name = run.record()->name,
                             .user = name_of_user(run.entry.owner),
                             .verdict = std::move(verdict),
                             .reason = std::move(reason)});
  run.lock.reset();
}

/// Only now that nothing of the run is alive: cgroup, directory, --remove paths, record, lock.
void Sweeper::clean_up(SweepTarget& target) {
  RunCase& run = cases_.cases[target.index];
  const core::RunRecord& record = *run.record();
  if (target.living > 0) {
    target.reason = counted(target.living, "survived");
  } else if (target.unjudged > 0) {
    target.reason = counted(target.unjudged, "could not be judged");
  } else if (!survey_failure_.empty()) {
    target.reason = "whether anything of it is alive cannot be told: cannot " + survey_failure_;
  } else if (target.inner > 0) {
    target.reason = target.inner_run;
  } else {
    const auto deadline = core::Clock::now() + std::max(plan_.stop_timeout, kDeletionBound);
    LeftoversRemoved removed = remove_leftovers_in_child(record, scope_of(run), deadline, progress_);
    std::move(removed.items.begin(), removed.items.end(), std::back_inserter(report_.removed));
    std::move(removed.remarks.begin(), removed.remarks.end(), std::back_inserter(report_.warnings));
    target.reason = removed.problem;
    if (target.reason.empty()) {
      const auto entry = remove_entry(cases_.registries[run.registry], run.entry.run_id, run.directory.get());
      if (!entry) target.reason = "cannot " + entry.error().message();
    }
  }
  target.clean = target.reason.empty();
  if (target.clean) report_.removed.push_back({.kind = "record", .path = run.entry.path, .run_id = run.entry.run_id});
  run.lock.reset();
  run.directory.reset();
}

LeftoverScope Sweeper::scope_of(const RunCase& run) {
  return {.same_mounts = run.record()->mount_namespace == cases_.here.mount_namespace,
          .same_boot = run.verdict != core::Verdict::gone,
          .insist = std::find(plan_.runs.begin(), plan_.runs.end(), run.entry.run_id) != plan_.runs.end(),
          .claimed = run.record()->remove.empty() ? std::vector<core::RemoveOnRecord>() : paths_of_others()};
}

/// The --remove paths of all runs that stay, those that have begun since the registries were read included.
std::vector<core::RemoveOnRecord> Sweeper::paths_of_others() {
  std::set<std::string> targets;
  for (const SweepTarget& target : targets_) targets.insert(cases_.cases[target.index].entry.run_id);
  std::vector<core::RemoveOnRecord> paths;
  for (std::size_t i = 0; i < cases_.registries.size(); ++i) {
    const Registry& registry = cases_.registries[i];
    const auto ids = registry.run_ids();
    if (!ids) continue;  // that it cannot be read was said when it was read first
    for (const std::string& id : *ids) {
      if (targets.contains(id)) continue;
      // A run names its paths once and for all, so each record is read once, however many runs are swept.
      auto known = paths_of_other_.find({i, id});
      if (known == paths_of_other_.end()) {
        const auto entry = read_entry(registry, id, codec_);
        if (!entry || !entry->record) continue;
        known = paths_of_other_.try_emplace({i, id}, entry->record->remove).first;
      }
      paths.insert(paths.end(), known->second.begin(), known->second.end());
    }
  }
  return paths;
}

void Sweeper::describe_targets() {
  for (const SweepTarget& target : targets_) {
    const RunCase& run = cases_.cases[target.index];
    const core::RunRecord& record = *run.record();
    if (is_left_running(target)) {
      skip(target, "released",
           target.living > 0 ? "released: " + counted(target.living, "left running as it was told to")
                             : "released: " + counted(target.unjudged, "may be what it has left running"));
      continue;
    }
    const auto is_its = [&](const core::SweptProcess& victim) { return victim.run_id == record.run_id; };
    if (waits_for_inner(target) && std::none_of(report_.victims.begin(), report_.victims.end(), is_its)) {
      skip(target, "orphaned", target.inner_run);
      continue;
    }
    core::SweptRun swept{.run_id = record.run_id,
                         .name = record.name,
                         .user = name_of_user(run.entry.owner),
                         .verdict = run.verdict,
                         .reapctl_pids = {},
                         .started_at = record.started_at,
                         .origin = record.origin,
                         .cgroup = {},
                         .workdir = {},
                         .remove = {},
                         .lock_name = record.lock_name,
                         .alive = target.living + target.unjudged + target.inner,
                         .clean = target.clean,
                         .reason = target.reason};
    if (record.guard) swept.reapctl_pids.push_back(record.guard->pid);
    swept.reapctl_pids.push_back(record.supervisor.pid);
    if (plan_.dry_run && waits_for_inner(target)) {
      swept.reason = target.inner_run;
    } else if (plan_.dry_run) {
      if (RunCgroup::open_recorded(record)) swept.cgroup = record.cgroup->path;
      const LeftoverScope scope = scope_of(run);
      const WorkdirSize size = measure_workdir(record, scope.same_boot);
      if (size.there) swept.workdir = record.workdir->path;
      swept.workdir_files = size.files;
      swept.workdir_bytes = size.bytes;
      for (const core::RemoveOnRecord& path : record.remove) {
        if (why_path_stays(path, scope).empty()) swept.remove.push_back(path.path);
      }
      if (target.unjudged > 0) swept.reason = counted(target.unjudged, "could not be judged");
    }
    report_.runs.push_back(std::move(swept));
  }
}

void Sweeper::conclude() {
  // Who names a run wants it gone: to leave it alone is no success.
  for (const core::SkippedItem& skipped : report_.skipped) {
    if (!plan_.runs.empty() && !skipped.run_id.empty()) report_.incomplete = true;
  }
  report_.ended_at = std::chrono::system_clock::now();
  report_.duration = std::chrono::duration_cast<core::Millis>(core::Clock::now() - began_at_);
  // Who could not be judged and has ended since needs no judgement: a process that was just dying, for one.
  std::erase_if(report_.unknown, [this](const core::SweptProcess& unknown) {
    const auto now = proc_.stat(unknown.process.pid);
    if (!now) return proc::is_gone(now.error());
    return now->id.start_ticks != unknown.process.start_ticks || !core::is_alive(*now);
  });
  if (!survey_failure_.empty()) {
    (void)warn("the processes could not all be looked at: cannot " + survey_failure_);
    report_.incomplete = true;
  }
  // What an active run still needs is not left behind.
  const bool unfinished = std::any_of(targets_.begin(), targets_.end(), [this](const SweepTarget& target) {
    return !target.reason.empty() && (!waits_for_inner(target) || !plan_.runs.empty());
  });
  const bool found = !report_.runs.empty() || !report_.victims.empty() || !report_.removed.empty();
  if (!report_.survivors.empty() || !report_.unknown.empty() || report_.incomplete || unfinished) {
    report_.exit_code = core::kExitNotGone;
  } else if (plan_.fail_if_found && found) {
    report_.exit_code = core::kExitFound;
  }
}

}  // namespace reapctl::engine
