#pragma once

#include "core/ladder.hpp"
#include "core/plan.hpp"
#include "core/process.hpp"
#include "core/report.hpp"
#include "engine/run_cgroup.hpp"
#include "proc/proc_fs.hpp"
#include "sys/result.hpp"

#include <deque>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <sys/types.h>
#include <utility>
#include <vector>

namespace reapctl::engine {

/// Signals one process, and only that one: opens a pidfd, then checks that the pid still means the same process.
/// A pid alone may have been reused. Errors: ESRCH when it is gone, EPERM.
[[nodiscard]] sys::Result<void> signal_process(const proc::ProcFs& proc, const core::ProcessId& id, int signal);

/// The processes of a run: all descendants of this process, which as a child subreaper inherits every orphan among
/// them, and the members of the cgroup of the run, if it has one. Neither is enough: a process may leave the cgroup,
/// and one that is no descendant may be put into it. Looks, signals and remembers; what to do and when is decided in
/// core.
class Tree {
 public:
  /// `cookie`: the "NAME=value" that every process of the run begins its life with.
  Tree(const proc::ProcFs& proc, std::string cookie) : proc_(proc), cookie_(std::move(cookie)) {}

  /// Children that this process has before the run begins (`x & exec reapctl …`) do not belong to it, nor do their
  /// descendants. Where some exist, an orphan counts as one of the run only if it was seen below the main command or
  /// carries the cookie: better to leave something behind than to harm what is not ours.
  void disown_children();
  /// From now on the run has this cgroup, which must outlive the use of this object; nullptr: none.
  void use_cgroup(const RunCgroup* cgroup) { cgroup_ = cgroup; }
  /// The main command has been started; with `leads_group` in a process group of its own.
  void own(pid_t main, bool leads_group = false);

  /// From now on remembers which processes were seen to have become our children.
  void watch_adoptions() { adoptions_watched_ = true; }
  /// The processes of the run that are our children now, besides the main command: at most `most`, and none when there
  /// are too many to be looked at.
  [[nodiscard]] std::vector<core::ProcessStat> adopted_children(std::size_t most);
  /// Those seen since the last call.
  [[nodiscard]] std::vector<core::ProcessStat> take_adopted() { return std::exchange(adopted_, {}); }
  /// Our child `pid`, which is about to be reaped; true if it has been told of by take_adopted.
  [[nodiscard]] bool forget_adopted(pid_t pid);

  /// Whether anything of the run may be left: a child, dead or alive, or a process in the cgroup.
  [[nodiscard]] bool may_have_somebody() const;

  /// The living, parents first.
  std::vector<core::ProcessStat> living();

  /// Signals a rung to the living (in a storm: to those that the last look has met), parents first, each with the
  /// signal that suits it, and continues the stopped. Only those of `scope`; with `rest`, only those that have not been
  /// told this rung. `main` is nullopt once the main command has been reaped. Returns how many were told: all, or as
  /// many as there was time for; then telling() is true.
  int tell(const core::Rung& rung, core::Scope scope, std::optional<pid_t> main, bool rest);
  /// Whether some are still to be told of those that were alive at the last tell().
  [[nodiscard]] bool telling() const { return !untold_.empty(); }
  /// Goes on with them, as long as tell(). Returns how many were told.
  int tell_on(const core::Rung& rung);

  /// A pass of killing: SIGKILL to all that live now, to those in the cgroup at one blow. If that leaves a storm's
  /// worth of zombies, the caller is to reap children_seen() first, and what has left the cgroup waits for the next
  /// call. nullopt: there are so many that the pass is not over; call again at once, and reap nobody meanwhile. Else
  /// call again when core::after_census says so, until nobody is alive.
  [[nodiscard]] std::optional<core::Census> kill(core::TimePoint now);
  /// Whether a pass of killing has begun and is not over.
  [[nodiscard]] bool in_mid_kill() const { return chase_.has_value(); }

  /// How many children there are, zombies included; 0 if that cannot be seen.
  [[nodiscard]] std::size_t count_children() const;

  /// Sends `signal` to the members of the process group of `main`, one by one: for a group that is not ours alone.
  void forward_to_group(int signal, pid_t main);

  struct Standing {
    int told = 0;                           ///< by the current rung
    std::vector<core::ProcessStat> stayed;  ///< those of them that are alive
    int alive = 0;                          ///< told or not
  };
  Standing standing();
  /// The same, and from now on SIGKILL is the current rung, told to those that are alive: one look serves both. With a
  /// `backlog` of zombies, if the last look has met a storm, the cgroup is killed first, and then only those are looked
  /// at that the rung before has told. kill() is to follow.
  Standing begin_killing(bool backlog);

  /// The living, each with why it could not be killed.
  std::vector<core::Survivor> survivors();

  [[nodiscard]] const proc::ProcFs& proc() const { return proc_; }
  /// The name of a process; empty if it cannot be read.
  [[nodiscard]] std::string comm(pid_t pid) const { return proc_.comm(pid); }
  /// Whether there were children before the run: then not everybody below this process belongs to it.
  [[nodiscard]] bool has_strangers() const { return has_strangers_; }
  [[nodiscard]] bool is_strange_child(pid_t pid) const;
  /// A stranger was reaped: its pid may be given to another process now.
  void forget_stranger(pid_t pid);

  /// Whether SIGKILL is the current rung.
  [[nodiscard]] bool killing() const { return killing_; }
  /// How many children, zombies included, the last kill() found: reaping fewer a round would let them pile up.
  [[nodiscard]] std::size_t children_seen() const { return children_seen_; }
  /// Most processes seen alive in one look; nullopt before the first.
  [[nodiscard]] std::optional<int> peak() const { return peak_; }
  /// How many were signalled by the current rung.
  [[nodiscard]] int told() const { return static_cast<int>(told_.size()); }

 private:
  using Pids = sys::Result<std::vector<pid_t>>;
  [[nodiscard]] Pids children(std::size_t enough = std::numeric_limits<std::size_t>::max()) const;
  [[nodiscard]] std::vector<core::ProcessStat> killed_of_told() const;
  [[nodiscard]] Standing standing(const std::vector<core::ProcessStat>& alive) const;
  [[nodiscard]] std::vector<core::ProcessStat> descendants(const Pids& children) const;
  void tell_one(const core::ProcessStat& process, const core::Rung& rung) const;
  std::set<pid_t> add_members(std::vector<core::ProcessStat>& processes) const;
  void leave_out_strangers(std::vector<core::ProcessStat>& processes, const std::set<pid_t>& members);
  void note_adopted(const std::vector<core::ProcessStat>& processes);
  [[nodiscard]] bool kill_children();
  void kill_some(const std::vector<pid_t>& children) const;

  const proc::ProcFs& proc_;
  std::string cookie_;
  const RunCgroup* cgroup_ = nullptr;
  bool has_strangers_ = false;  ///< there were some when the run began; they may have left others behind them
  std::set<core::ProcessId> strangers_;
  std::set<core::ProcessId> ours_;                              ///< only kept while there are strangers
  std::optional<std::vector<core::ProcessStat>> met_in_storm_;  ///< by the last look, if nobody was told since
  std::set<core::ProcessId> told_;
  std::deque<core::ProcessStat> untold_;               ///< of the current rung
  std::map<core::ProcessId, core::TimePoint> killed_;  ///< when each got its first SIGKILL
  std::map<core::ProcessId, int> refused_;             ///< errno of a SIGKILL that could not be sent
  bool killing_ = false;
  bool storm_ = false;                         ///< the last look has met one
  bool struck_ = false;                        ///< the cgroup has been killed once
  std::optional<proc::ChildrenReader> chase_;  ///< in the middle of a pass of killing
  std::size_t chased_ = 0;                     ///< so many it has come across
  std::size_t children_seen_ = 0;
  std::optional<int> peak_;
  pid_t main_ = -1;
  bool main_leads_group_ = false;
  bool adoptions_watched_ = false;
  std::vector<core::ProcessStat> adopted_;  ///< not told of yet
  std::set<pid_t> adopted_pids_;            ///< told of or not, and not reaped: so these mean nobody else
};

}  // namespace reapctl::engine
