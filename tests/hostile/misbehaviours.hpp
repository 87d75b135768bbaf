#pragma once

#include "support/reapctl.hpp"

#include <csignal>
#include <string>
#include <vector>

/// The rows and columns of the table in hostile_test.cpp.
namespace reapctl::test {

enum class Trigger {
  main_exits,
  sigterm,
  timeout,
  guard_killed,
  supervisor_killed,
  group_killed,
  parent_dies,
  both_killed,
};

inline constexpr Trigger kTriggers[] = {Trigger::main_exits,   Trigger::sigterm,           Trigger::timeout,
                                        Trigger::guard_killed, Trigger::supervisor_killed, Trigger::group_killed,
                                        Trigger::parent_dies,  Trigger::both_killed};

[[nodiscard]] inline const char* name_of(Trigger trigger) {
  switch (trigger) {
    case Trigger::main_exits: return "the command exits";
    case Trigger::sigterm: return "SIGTERM";
    case Trigger::timeout: return "timeout";
    case Trigger::guard_killed: return "SIGKILL of the guard";
    case Trigger::supervisor_killed: return "SIGKILL of the supervisor";
    case Trigger::group_killed: return "SIGKILL of the group";
    case Trigger::parent_dies: return "death of the parent";
    case Trigger::both_killed: return "SIGKILL of both";
  }
  return "";
}

/// What somebody needs, or does, that is not the same everywhere.
enum class Special {
  nothing,
  storm,          ///< forks without bound
  cgroup,         ///< needs one
  set_uid,        ///< is a process of another user: an ordinary one may not signal it, kill(2), and it survives
  lost,           ///< once guard and supervisor are dead at one blow nothing tells that it was the run's, but a cgroup
  chain,          ///< a storm that a sweep, which adopts nobody, cannot outrun either; a cgroup ends it
  guard_stopped,  ///< nobody tells the supervisor: what is asked of the guard happens when it is continued
  supervisor_harassed,  ///< stopped all the time, and without a guard nobody continues it
  supervisor_frozen,    ///< what the supervisor should do happens when it is thawed; it does die of SIGKILL
};

struct Misbehaviour {
  const char* name;
  Args steps;  ///< of the main command, which then says that it is there, and exits 0 when the gate opens
  Args roles;  ///< whom to wait for besides it
  Special special = Special::nothing;
  int code_when_stopped = 128 + SIGINT;
};

/// In steps @FILES, @CGROUP, @SET_UID, @READY stand for what the World and the roster have.
[[nodiscard]] inline const std::vector<Misbehaviour>& misbehaviours() {
  static const std::vector<Misbehaviour> all = {
      {"None", {}, {}},
      {"Setsid", {"fork", "[", "setsid", "ready=child", "]"}, {"child"}},
      {"DoubleFork", {"double-fork", "[", "setsid", "ready=child", "]"}, {"child"}},
      {"NestedSubreaper",
       {"fork", "[", "subreaper", "ignore=INT", "double-fork", "[", "setsid", "ready=deep", "]", "ready=child", "]"},
       {"child", "deep"}},
      {"CloneParent", {"clone-parent", "[", "setsid", "ignore=INT", "ready=sibling", "]"}, {"sibling"}},
      {"OddExitSignal",
       {"clone-signal=USR1", "[", "ready=odd", "]", "double-fork", "[", "clone-silent", "[", "ready=silent", "]", "]"},
       {"odd", "silent"}},
      {"DeafChild", {"fork", "[", "ignore=all", "block=all", "setsid", "ready=child", "]"}, {"child"}},
      {"DeafCommand", {"ignore=all", "block=all"}, {}, Special::nothing, 128 + SIGKILL},
      {"Stopped", {"fork", "[", "setsid", "ready=child", "stop-self", "]", "await-stop"}, {"child"}},
      {"EmptyEnvironment", {"fork", "[", "setsid", "env-clear", "ready=child", "]"}, {"child"}},
      {"OverwrittenEnvironment", {"env-overwrite", "fork", "[", "setsid", "ready=child", "]"}, {"child"}},
      {"NameLikeStat", {"comm=) R 1 1 1 (", "fork", "[", "setsid", "comm=a) R 1", "ready=child", "]"}, {"child"}},
      {"FirstThreadGone", {"fork", "[", "setsid", "thread-exits-first", "ready=child", "]"}, {"child"}},
      {"CommandsFirstThreadGone", {"thread-exits-first"}, {}},
      {"VforkParent", {"fork", "[", "setsid", "vfork", "[", "ignore=INT", "ready=child", "]", "]"}, {"child"}},
      {"HoldsPipeAndLock",
       {"fork", "[", "setsid", "ignore=INT,TERM", "lock=@FILES/lock", "ready=child", "]"},
       {"child"}},
      {"ManyThreads", {"fork", "[", "setsid", "threads=200", "ready=child", "]"}, {"child"}},
      {"ForksWhenTold",
       {"fork", "[", "setsid", "on=INT:fork=late", "on=TERM:fork=late", "ready=child", "]"},
       {"child"}},
      {"Vanished", {"double-fork", "[", "setsid", "env-clear", "ready=child", "]"}, {"child"}, Special::lost},
      {"Chains", {"chain=16"}, {}, Special::chain},
      {"SessionChains", {"session-chain=16"}, {}, Special::chain},
      {"MovesToAnotherCgroup",
       {"fork", "[", "cgroup=@CGROUP/other", "setsid", "ready=child", "]"},
       {"child"},
       Special::cgroup},
      {"FreezesItsChild",
       {"fork", "[", "setsid", "cgroup=@CGROUP/prison", "ready=child", "fork", "[", "cgroup=@CGROUP/other",
        "write=@CGROUP/prison/cgroup.freeze:1", "ready=jailer", "]", "]"},
       {"child", "jailer"},
       Special::cgroup},
      {"StopsTheSupervisor", {"fork", "[", "setsid", "ready=child", "]", "stop-parent"}, {"child"}},
      {"KeepsStoppingTheSupervisor", {"keep-stopping-parent"}, {}, Special::supervisor_harassed},
      {"StopsTheGuard", {"stop-grandparent"}, {}, Special::guard_stopped},
      {"FreezesTheSupervisor",
       {"parent-cgroup=@CGROUP/prison", "write=@CGROUP/prison/cgroup.freeze:1"},
       {},
       Special::supervisor_frozen},
      {"SetUidChild",
       {"fork", "[", "exec", "@SET_UID", "--ready", "@READY", "become-effective-user", "setsid", "ready=child", "]"},
       {"child"},
       Special::set_uid},
  };
  return all;
}

}  // namespace reapctl::test
