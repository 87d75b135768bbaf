#include "engine/census.hpp"

#include "core/time.hpp"
#include "engine/registry.hpp"
#include "engine/run_cgroup.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <poll.h>
#include <string_view>
#include <unistd.h>
#include <unordered_map>
#include <utility>

namespace reapctl::engine {
namespace {

/// The run ids in a text of /proc/PID/environ: entries "REAPCTL_COOKIE_<id>=1", each ended by a NUL.
std::vector<std::string> cookies_in(std::string_view text) {
  constexpr std::string_view kPrefix = "REAPCTL_COOKIE_";
  constexpr std::size_t kIdLength = 16;
  std::vector<std::string> ids;
  for (std::size_t at = text.find(kPrefix); at != std::string_view::npos; at = text.find(kPrefix, at + 1)) {
    if (at > 0 && text[at - 1] != '\0') continue;
    const std::string_view id = text.substr(at + kPrefix.size(), kIdLength);
    const std::string_view rest = text.substr(at + kPrefix.size() + id.size(), 3);
    if (is_run_id(id) && rest.starts_with("=1") && (rest.size() == 2 || rest[2] == '\0')) ids.emplace_back(id);
  }
  return ids;
}

/// The run whose lock file a descriptor of a process leads to: ".../<id>/lock".
std::string run_of_lock(std::string_view target) {
  const std::string ending = std::string("/") + kLockFile;
  if (!target.ends_with(ending)) return {};
  target.remove_suffix(ending.size());
  const std::string_view id = target.substr(target.rfind('/') + 1);
  return is_run_id(id) ? std::string(id) : std::string();
}

}  // namespace

const std::vector<std::string>* EnvironmentMemory::find(const core::ProcessStat& process) const {
  const auto found = seen_.find(process.id.pid);
  if (found == seen_.end()) return nullptr;
  const Seen& seen = found->second;
  const bool same = seen.start_ticks == process.id.start_ticks && seen.begin == process.environment_begin &&
                    seen.end == process.environment_end;
  return same ? &seen.cookies : nullptr;
}

void EnvironmentMemory::remember(const core::ProcessStat& process, const std::vector<std::string>& cookies) {
  if (process.environment_begin == 0) return;  // in the middle of an exec, for one
  seen_[process.id.pid] = {.start_ticks = process.id.start_ticks,
                           .begin = process.environment_begin,
                           .end = process.environment_end,
                           .cookies = cookies};
}

namespace {

/// What became of the attempt to read an environment.
struct EnvironmentLook {
  bool in_exec = false;      ///< it is in the middle of its exec and shows nothing, so ask again
  bool gone = false;         ///< it ended before it could be looked at
  std::string failure = {};  ///< why it could not be read, when that is no matter of rights
};

EnvironmentLook look_into(const proc::ProcFs& proc, core::ProcessFacts& process, EnvironmentMemory& memory) {
  if (const auto* cookies = memory.find(process.stat)) {
    process.cookies = *cookies;
    return {};
  }
  const pid_t pid = process.stat.id.pid;
  auto text = proc.environment(pid);
  if (text && text->empty()) {
    if (proc.is_in_exec(pid)) return {.in_exec = true};
    text = proc.environment(pid);  // it may have been in its exec before, and not be any more
  }
  if (!text) {
    // Where there are processes without end, one of them is on its way out at any time, closed to its own user.
    if (proc::is_gone(text.error()) || (proc::is_forbidden(text.error()) && proc.is_ending(process.stat.id))) {
      return {.gone = true};
    }
    process.environ_readable = false;
    return {.failure = proc::is_forbidden(text.error()) ? std::string() : text.error().message()};
  }
  process.cookies = cookies_in(*text);
  memory.remember(process.stat, process.cookies);
  return {};
}

/// An exec takes this long where the disk is slow and the machine is busy.
constexpr std::chrono::seconds kLongestExec{1};

/// How often the list of processes is read again at most, before the census is given up as a restless one.
constexpr int kMostListings = 10;

/// One list after the other: see take_census.
class CensusTaker {
 public:
  CensusTaker(const proc::ProcFs& proc, std::uint64_t since_ticks, EnvironmentMemory& memory)
      : proc_(proc), since_ticks_(since_ticks), memory_(memory) {}

  ProcessCensus take() {
    census_.complete = !hides_processes(proc_);
    bool again = true;
    for (int listings = 0; again && listings <= kMostListings; ++listings) {
      missed_ = false;
      auto pids = proc_.newcomers(seen_);
      if (!pids) {
        census_.complete = false;
        fail(pids.error().message());
        break;
      }
      // Whoever is quick has the newest number.
      if (listings > 0) std::reverse(pids->begin(), pids->end());
      for (const pid_t pid : *pids) look_at(pid);
      ask_again();
      again = missed_ || listings == 0;
    }
    census_.restless = again && census_.failure.empty();
    for (core::ProcessFacts& facts : census_.processes) {
      if (facts.environ_readable) continue;
      if (const auto status = proc_.status(facts.stat.id.pid)) facts.uid = status->effective_uid;
    }
    return std::move(census_);
  }

 private:
  void look_at(pid_t pid) {
    auto stat = proc_.stat(pid);
    if (!stat) {
      if (proc::is_gone(stat.error())) {
        missed_ = true;
      } else {
        census_.complete = false;
        if (!proc::is_forbidden(stat.error())) fail(stat.error().message());
      }
      return;
    }
    census_.processes.push_back({.stat = stat.take(), .cookies = {}, .cgroups = {}, .uid = {}});
    core::ProcessFacts& facts = census_.processes.back();
    if (facts.stat.id.start_ticks < since_ticks_) return;
    if (core::is_alive(facts.stat)) {
      if (note(look_into(proc_, facts, memory_))) in_exec_.push_back(census_.processes.size() - 1);
    } else {
      missed_ = true;
    }
  }

  /// Who shows nothing in the end is unknown, and not nobody's.
  void ask_again() {
    while (!in_exec_.empty() && core::Clock::now() < exec_deadline_) {
      (void)::poll(nullptr, 0, 1);  // nothing tells of the end of an exec
      std::erase_if(in_exec_, [&](std::size_t i) { return !note(look_into(proc_, census_.processes[i], memory_)); });
    }
    for (const std::size_t i : in_exec_) census_.processes[i].environ_readable = false;
    in_exec_.clear();
  }

  /// Whether the process is to be asked again.
  bool note(EnvironmentLook look) {
    missed_ = missed_ || look.gone;
    fail(std::move(look.failure));
    return look.in_exec;
  }

  void fail(std::string why) {
    if (census_.failure.empty()) census_.failure = std::move(why);
  }

  const proc::ProcFs& proc_;
  const std::uint64_t since_ticks_;
  EnvironmentMemory& memory_;
  const core::TimePoint exec_deadline_ = core::Clock::now() + kLongestExec;
  std::unordered_map<pid_t, ino_t> seen_;
  std::vector<std::size_t> in_exec_;  ///< indices in the census
  bool missed_ = false;               ///< somebody of the last list has not been looked at while he was alive
  ProcessCensus census_;
};

}  // namespace

/// A list of processes is old when it is read: of it, one may have forked a child and ended before he is looked at, and
/// then neither is seen. So there is one list after the other, until everybody who was new on one was alive when he was
/// looked at: whoever was there when that one was made has been looked at, and who was born since has a parent who was.
ProcessCensus take_census(const proc::ProcFs& proc, std::uint64_t since_ticks, EnvironmentMemory& memory) {
  return CensusTaker(proc, since_ticks, memory).take();
}

void count_as_dead(ProcessCensus& census, const std::vector<core::OwningRun>& runs) {
  for (core::ProcessFacts& process : census.processes) {
    if (process.stat.state != 'Z' && !process.stat.doomed) continue;
    const bool is_reapctl = std::any_of(runs.begin(), runs.end(), [&](const core::OwningRun& run) {
      if (run.only_of && run.only_of != process.uid) return false;
      return process.stat.id == run.record.supervisor || process.stat.id == run.record.guard;
    });
    if (!is_reapctl) continue;
    process.stat.state = 'Z';
    process.stat.threads = 1;
  }
}

void note_cgroups(ProcessCensus& census, const std::vector<core::OwningRun>& runs) {
  std::unordered_map<pid_t, std::vector<std::string>> runs_of_pid;
  for (const core::OwningRun& run : runs) {
    const auto cgroup = RunCgroup::open_recorded(run.record);
    if (!cgroup) continue;  // it has none, or it is gone, or cannot be seen from here: there are other marks
    const RunCgroup::Look look = cgroup->look();
    if (!look.complete) census.unsure_cgroups.insert(run.record.run_id);
    for (const pid_t pid : look.members) runs_of_pid[pid].push_back(run.record.run_id);
  }
  if (runs_of_pid.empty()) return;
  for (core::ProcessFacts& process : census.processes) {
    const auto found = runs_of_pid.find(process.stat.id.pid);
    if (found != runs_of_pid.end()) process.cgroups = found->second;
  }
}

void note_users(ProcessCensus& census, const std::vector<core::OwningRun>& runs, const proc::ProcFs& proc) {
  std::set<core::ProcessId> claimed;
  bool any = false;
  for (const core::OwningRun& run : runs) {
    if (!run.only_of) continue;
    any = true;
    for (const core::ProcessId& id : core::recorded_processes(run.record)) claimed.insert(id);
  }
  if (!any) return;
  for (core::ProcessFacts& process : census.processes) {
    const bool marked = !process.cookies.empty() || !process.cgroups.empty() || claimed.contains(process.stat.id);
    if (process.uid || !marked) continue;
    if (const auto status = proc.status(process.stat.id.pid)) process.uid = status->effective_uid;
  }
}

void note_locks(ProcessCensus& census, const std::set<std::size_t>& which, const proc::ProcFs& proc) {
  for (const std::size_t i : which) {
    core::ProcessFacts& process = census.processes[i];
    const std::string directory = std::to_string(process.stat.id.pid) + "/fd";
    const auto descriptors = proc.numbers_in(directory);
    if (!descriptors) continue;
    for (const int descriptor : *descriptors) {
      process.supervises = run_of_lock(proc.link(directory + "/" + std::to_string(descriptor)));
      if (!process.supervises.empty()) break;
    }
  }
}

core::Sweeper this_sweeper(const proc::ProcFs& proc) {
  core::Sweeper self{.pid = ::getpid(), .pgid = ::getpgrp(), .ancestors = {}};
  for (pid_t pid = ::getppid(); pid > 0 && self.ancestors.insert(pid).second;) {
    const auto parent = proc.stat(pid);
    if (!parent) break;
    pid = parent->ppid;
  }
  return self;
}

bool hides_processes(const proc::ProcFs& proc) {
  // The first process is always there, and always somebody else's or our own.
  const auto first = proc.stat(1);
  return !first && (first.error().code == ENOENT || first.error().code == EACCES);
}

}  // namespace reapctl::engine
