#include "support/process.hpp"
#include "support/reapctl.hpp"

#include <csignal>
#include <string>
#include <tuple>

#include <gtest/gtest.h>

/// Whatever a process does and whatever ends the run: nothing is left.
namespace reapctl::test {
namespace {

struct Misbehaviour {
  const char* name;
  Args steps;  ///< what a child of the command does, up to saying "straggler"
};

const Misbehaviour kMisbehaviours[] = {
    {"Plain", {"ready=straggler"}},
    {"Setsid", {"setsid", "ready=straggler"}},
    {"OwnGroup", {"setpgid", "ready=straggler"}},
    {"DoubleFork", {"double-fork", "[", "setsid", "ready=straggler", "]", "exit=0"}},
    {"EmptyEnvironment", {"setsid", "env-clear", "ready=straggler"}},
    {"IgnoresInt", {"ignore=INT", "ready=straggler"}},
    {"IgnoresEverything", {"setsid", "ignore=all", "ready=straggler"}},
    {"BlocksEverything", {"setsid", "block=all", "ready=straggler"}},
    {"Stopped", {"setsid", "ready=straggler", "stop-self"}},
    {"StoppedAndDeaf", {"setsid", "ignore=all", "block=all", "ready=straggler", "stop-self"}},
    {"NestedSubreaper",
     {"subreaper", "ignore=INT", "double-fork", "[", "setsid", "ignore=INT", "ready=straggler", "]"}},
    {"CloneParent", {"clone-parent", "[", "setsid", "ignore=INT", "ready=straggler", "]"}},
    {"CloneSilent", {"clone-silent", "[", "setsid", "ignore=INT", "ready=straggler", "]"}},
    {"ChildOfAThread", {"thread-fork", "[", "setsid", "ignore=INT", "ready=straggler", "]"}},
    {"FirstThreadGone", {"setsid", "thread-exits-first", "ignore=INT", "ready=straggler"}},
    {"ForksWhenSignalled", {"setsid", "on=INT:fork=late", "on=TERM:fork=late", "ready=straggler"}},
    {"OddName", {"comm=) Z 1 1 1 (", "setsid", "ignore=INT", "ready=straggler"}},
    {"AllAtOnce",
     {"subreaper", "setsid", "double-fork", "[", "setsid", "ignore=all", "block=all", "env-clear", "comm=a b) Z",
      "clone-parent", "[", "setsid", "ready=straggler", "stop-self", "]", "]"}},
};

enum class Cause { signal, timeout, own_exit };

class Ladder : public testing::TestWithParam<std::tuple<Misbehaviour, Cause>> {
 protected:
  /// The command: one child that misbehaves, then itself, which ends when the gate opens.
  [[nodiscard]] Args command() const {
    Args steps{"fork", "["};
    const Args& child = std::get<0>(GetParam()).steps;
    steps.insert(steps.end(), child.begin(), child.end());
    steps.insert(steps.end(), {"]", "ready=main", "await=" + gate_.path(), "exit=0"});
    return misbehave(roster_, steps);
  }

  void expect_dead(const std::map<std::string, Process>& processes) {
    for (const auto& [role, process] : processes) EXPECT_FALSE(is_alive(process)) << role;
    for (const Process& process : roster_.take_all()) EXPECT_FALSE(is_alive(process)) << process.role;
  }

  Roster roster_;
  Gate gate_;
};

TEST_P(Ladder, LeavesNothing) {
  const Cause cause = std::get<1>(GetParam());
  for (int timeout_ms = 500;; timeout_ms *= 2) {
    Args options{"--ladder", "INT:100ms,KILL"};
    if (cause == Cause::timeout) options.insert(options.end(), {"--timeout", std::to_string(timeout_ms) + "ms"});
    Reapctl reapctl(run_of(options, command()));
    if (cause == Cause::timeout) {
      const Outcome outcome = reapctl.wait();
      EXPECT_EQ(outcome.code(), 124);
      std::map<std::string, Process> processes;
      for (const Process& process : roster_.take_all()) processes[process.role] = process;
      expect_dead(processes);
      if (processes.count("straggler") + processes.count("main") == 2 || HasFailure()) return;
      ASSERT_LT(timeout_ms, 10'000) << "the command never got going";
      continue;  // a slow machine: the timeout came before the command had misbehaved
    }
    const auto processes = roster_.await_roles({"straggler", "main"});
    if (cause == Cause::signal)
      reapctl.send(SIGTERM);
    else
      gate_.open();
    const Outcome outcome = reapctl.wait();
    EXPECT_EQ(outcome.code(), cause == Cause::signal ? 130 : 0);
    EXPECT_EQ(outcome.report["result"], cause == Cause::signal ? "stopped" : "success");
    EXPECT_EQ(outcome.report["stop"]["cause"], cause == Cause::signal ? "signal" : "leftovers");
    EXPECT_TRUE(outcome.report["tree"]["survivors"].empty());
    expect_dead(processes);
    return;
  }
}

INSTANTIATE_TEST_SUITE_P(Table, Ladder,
                         testing::Combine(testing::ValuesIn(kMisbehaviours),
                                          testing::Values(Cause::signal, Cause::timeout, Cause::own_exit)),
                         [](const auto& test) {
                           const Cause cause = std::get<1>(test.param);
                           return std::string(std::get<0>(test.param).name) + (cause == Cause::signal    ? "Sigterm"
                                                                               : cause == Cause::timeout ? "Timeout"
                                                                                                         : "OwnExit");
                         });

}  // namespace
}  // namespace reapctl::test
