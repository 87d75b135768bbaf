#include "engine/process_matcher.hpp"

#include "proc/host.hpp"
#include "proc/listening.hpp"

#include <algorithm>
#include <cstdint>
#include <set>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace reapctl::engine {
namespace {

using core::Holds;

core::Millis age_of(const core::ProcessStat& process) {
  const auto ticks = static_cast<std::int64_t>(process.id.start_ticks);
  return core::to_millis(proc::since_boot()) - core::Millis(ticks * 1000 / ::sysconf(_SC_CLK_TCK));
}

Holds as_holds(bool holds) {
  return holds ? Holds::yes : Holds::no;
}

std::optional<proc::FileId> file_of(const std::optional<std::string>& path) {
  struct stat status {};
  if (!path || ::stat(path->c_str(), &status) != 0) return std::nullopt;
  return proc::FileId(status.st_dev, status.st_ino);
}

}  // namespace

ProcessMatcher::ProcessMatcher(const core::SweepPlan& plan, const proc::ProcFs& proc)
    : plan_(plan), proc_(proc), directory_(file_of(plan.match.cwd)), executable_(file_of(plan.match.executable)) {}

core::Matches ProcessMatcher::look(const ProcessCensus& census) {
  core::Matches matches{.matched = {}, .unreadable = {}, .named = plan_.match.pid};
  const auto listening = listeners(census);
  for (std::size_t i = 0; i < census.processes.size(); ++i) {
    const core::ProcessStat& stat = census.processes[i].stat;
    auto verdict = judge(census.processes[i], listening[i]);
    if (verdict.holds == Holds::yes) {
      matches.matched[i] = std::move(verdict.names);
    } else if (verdict.holds == Holds::unreadable && concerns_us(stat.id.pid) && !proc_.is_ending(stat.id)) {
      matches.unreadable[i] = verdict.unreadable + " cannot be read";
    }
  }
  return matches;
}

core::MatchVerdict ProcessMatcher::judge(const core::ProcessFacts& process, Holds listens) const {
  const core::MatchCriteria& wanted = plan_.match;
  const pid_t pid = process.stat.id.pid;
  if (!core::is_alive(process.stat)) return {};
  std::vector<core::Criterion> criteria;
  bool settled = false;
  // Each costs a look into /proc: the first that does not hold saves the rest.
  const auto check = [&](bool asked, const char* name, const char* what, auto look) {
    if (!asked || settled) return;
    criteria.push_back({.name = name, .what = what, .holds = look()});
    settled = criteria.back().holds == Holds::no;
  };
  check(wanted.pid.has_value(), "match-pid", "", [&] { return as_holds(wanted.pid == pid); });
  check(!wanted.ports.empty(), "match-port", "what it listens on", [&] { return listens; });
  check(wanted.cwd.has_value(), "match-cwd", "its directory",
        [&] { return leads_to(pid, "/cwd", *wanted.cwd, directory_); });
  check(wanted.executable.has_value(), "match-exe", "its file",
        [&] { return leads_to(pid, "/exe", *wanted.executable, executable_); });
  check(!wanted.environment.empty(), "match-env", "its environment", [&] { return has_environment(pid); });
  if (settled) return {};
  // A kernel thread has neither memory nor arguments; a process may have cleared its own.
  if (process.stat.rss_pages == 0 && proc_.cmdline(pid).empty()) return {};
  if (plan_.older_than && age_of(process.stat) < *plan_.older_than) return {};
  core::MatchVerdict verdict = core::judge(criteria);
  if (wanted.uid && is_of_user(pid) == Holds::no) verdict.holds = Holds::no;
  return verdict;
}

Holds ProcessMatcher::leads_to(pid_t pid, const char* link, const std::string& wanted,
                               std::optional<proc::FileId> file) const {
  const std::string path = std::to_string(pid) + link;
  const std::string target = proc_.link(path);
  if (target.empty()) {
    // A process on its way out lets go of its memory first, and then of all else.
    const auto now = proc_.stat(pid);
    const bool is_ending = now ? now->rss_pages == 0 : proc::is_gone(now.error());
    return is_ending ? Holds::no : Holds::unreadable;
  }
  return as_holds(core::leads_to(target, wanted) || (file && proc_.file_behind(path) == file));
}

Holds ProcessMatcher::has_environment(pid_t pid) const {
  Holds all = Holds::yes;
  for (const std::string& assignment : plan_.match.environment) {
    switch (proc_.environ_has(pid, assignment)) {
      case proc::EnvironMatch::yes: break;
      case proc::EnvironMatch::no: return Holds::no;
      case proc::EnvironMatch::unreadable: all = Holds::unreadable; break;
    }
  }
  return all;
}

Holds ProcessMatcher::is_of_user(pid_t pid) const {
  const auto status = proc_.status(pid);
  return as_holds(status && status->effective_uid == *plan_.match.uid);
}

bool ProcessMatcher::concerns_us(pid_t pid) const {
  if (plan_.match.pid || plan_.match.uid || ::geteuid() == 0) return true;  // others do not match
  const auto status = proc_.status(pid);
  return status && status->effective_uid == ::geteuid();
}

/// For each process whether it listens on all ports that were asked for. If all sockets on a port are accounted for, a
/// process that can't be looked into has none of them.
std::vector<Holds> ProcessMatcher::listeners(const ProcessCensus& census) {
  std::vector<Holds> all(census.processes.size(), Holds::yes);
  if (plan_.match.ports.empty()) return all;
  const proc::ListeningSockets listening(proc_);
  std::vector<std::optional<std::set<std::uint64_t>>> held;
  std::set<std::uint64_t> known;
  for (const core::ProcessFacts& process : census.processes) {
    auto sockets = listening.held_by(process.stat.id.pid);
    held.push_back(sockets ? std::optional(sockets.take()) : std::nullopt);
    if (held.back()) known.insert(held.back()->begin(), held.back()->end());
  }
  ports_of_nobody_.clear();
  for (const int port : plan_.match.ports) {
    const auto sockets = listening.on_port(port);
    const auto is_known = [&](std::uint64_t inode) { return known.contains(inode); };
    const bool accounted_for = std::all_of(sockets.begin(), sockets.end(), is_known);
    if (!accounted_for) ports_of_nobody_.push_back(port);
    for (std::size_t i = 0; i < all.size(); ++i) {
      const auto has = [&](std::uint64_t inode) { return held[i] && held[i]->contains(inode); };
      const bool listens = std::any_of(sockets.begin(), sockets.end(), has);
      const Holds holds = !held[i] && !accounted_for ? Holds::unreadable : as_holds(listens);
      all[i] = std::min(all[i], holds);
    }
  }
  return all;
}

}  // namespace reapctl::engine
