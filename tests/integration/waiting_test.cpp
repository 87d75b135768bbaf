#include "support/process.hpp"
#include "support/reapctl.hpp"

#include <csignal>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

/// Facts 11 to 17 of linux-facts: waiting and reaping. Fact 12 is about an order of system calls that nothing shows
/// from outside.
namespace reapctl::test {
namespace {

using testing::Contains;

pid_t parent_of(const Process& process) {
  return read_stat(process.pid).value_or(ProcStat{}).ppid;
}

bool is_zombie(const Process& process) {
  return read_stat(process.pid).value_or(ProcStat{}).state == 'Z';
}

TEST(Fact11, ManyDeathsBehindOneSigchldAreAllReaped) {
  constexpr std::size_t kOrphans = 20;
  Roster roster;
  Gate gate;
  Args steps;
  std::vector<std::string> roles{"main"};
  for (std::size_t i = 0; i < kOrphans; ++i) {
    roles.push_back("orphan" + std::to_string(i));
    steps.insert(steps.end(), {"double-fork", "[", "ready=" + roles.back(), "await=" + gate.path(), "exit=1", "]"});
  }
  steps.insert(steps.end(), {"ready=main", "await=" + gate.path(), "exit=4"});
  Reapctl reapctl(run_of({"--no-guard", "--leftovers", "wait"}, misbehave(roster, steps)));
  const auto processes = roster.await_roles(roles);
  // While reapctl is stopped they all die: one SIGCHLD is pending for all of them.
  const pid_t supervisor = parent_of(processes.at("main"));
  send_signal(supervisor, SIGSTOP);
  gate.open(kOrphans + 1);
  EXPECT_TRUE(await([&] {
    return std::all_of(processes.begin(), processes.end(), [](const auto& entry) { return is_zombie(entry.second); });
  }));
  send_signal(supervisor, SIGCONT);
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 4);
  EXPECT_EQ(outcome.report["tree"]["reaped"], kOrphans + 1);
  EXPECT_EQ(outcome.report["tree"]["adopted"], kOrphans);
}

TEST(Fact11, MoreDeathsThanOneDrainTakesAreAllReapedToo) {
  constexpr std::size_t kOrphans = 700;
  Roster roster;
  Gate first;
  Gate gate;
  Args steps;
  for (std::size_t i = 0; i < kOrphans; ++i) {
    steps.insert(steps.end(), {"fork", "[", "ready=orphan", "await=" + gate.path(), "exit=1", "]"});
  }
  steps.insert(steps.end(), {"ready=main", "await=" + first.path(), "exit=4"});
  Reapctl reapctl(run_of({"--no-guard", "--leftovers", "wait"}, misbehave(roster, steps)));
  std::vector<Process> orphans;
  Process main;
  while (orphans.size() < kOrphans || main.pid == 0) {
    const Process next = roster.next();
    ASSERT_NE(next.pid, 0);
    if (next.role == "main") main = next;
    if (next.role == "orphan") orphans.push_back(next);
  }
  const pid_t supervisor = parent_of(main);
  first.open();
  EXPECT_TRUE(await([&] { return parent_of(orphans[0]) == supervisor && !read_stat(main.pid); }));
  send_signal(supervisor, SIGSTOP);
  gate.open(kOrphans);
  EXPECT_TRUE(await([&] { return std::all_of(orphans.begin(), orphans.end(), is_zombie); }));
  send_signal(supervisor, SIGCONT);
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 4);
  EXPECT_EQ(outcome.report["tree"]["reaped"], kOrphans + 1);
}

TEST(Fact13, AChildThatSendsNoSignalWhenItEndsHoldsNothingUp) {
  Roster roster;
  Gate early;
  Gate late;
  Launch launch = run_of({}, misbehave(roster, {"ready=main", "await=" + late.path(), "exit=6"}));
  launch.wrapper =
      misbehave(roster, {"clone-silent", "[", "ready=silent", "await=" + early.path(), "exit=1", "]", "exec"});
  launch.leaves_processes = true;  // a zombie that was not of its making
  Reapctl reapctl(std::move(launch));
  const auto processes = roster.await_roles({"silent", "main"});
  early.open();
  EXPECT_TRUE(await([&] { return !is_alive(processes.at("silent")); }));
  late.open();
  EXPECT_EQ(reapctl.wait().code(), 6);
  (void)kill_leftovers({});
}

TEST(Fact13, AnAdoptedChildWithAnotherExitSignalIsReaped) {
  Roster roster;
  Gate gate;
  Reapctl reapctl(run_of({}, misbehave(roster, {"clone-silent", "[", "setsid", "ignore=INT,TERM", "ready=silent", "]",
                                                "ready=main", "await=" + gate.path(), "exit=6"})));
  roster.await_roles({"silent", "main"});
  gate.open();
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 6);
  EXPECT_EQ(outcome.report["tree"]["reaped"], 2);
}

TEST(Fact14, AChildOfASecondThreadHearsTheLadder) {
  Roster roster;
  Reapctl reapctl(
      run_of({"--ladder", "INT:60s,KILL"}, misbehave(roster, {"thread-fork", "[", "on=INT:say=heard", "on=INT:exit=0",
                                                              "ready=child", "]", "on=INT:exit=0", "ready=main"})));
  const auto processes = roster.await_roles({"child", "main"});
  EXPECT_EQ(parent_of(processes.at("child")), processes.at("main").pid);
  reapctl.send(SIGTERM);
  EXPECT_EQ(roster.next().role, "heard");
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 0);
  ASSERT_FALSE(outcome.report["stop"].is_null());
  EXPECT_EQ(outcome.report["stop"]["rungs"][0]["told"], 2);
}

TEST(Fact15, AMainCommandWhoseFirstThreadHasEndedIsAlive) {
  Roster roster;
  Gate gate;
  Reapctl reapctl(run_of({}, misbehave(roster, {"on=USR1:say=heard", "thread-exits-first", "ready=main",
                                                "await=" + gate.path(), "exit=8"})));
  const Process main = roster.next();
  EXPECT_TRUE(await([&] { return is_zombie(main); }));
  EXPECT_TRUE(is_alive(main));
  // The round trip gives reapctl time to be wrong about it.
  reapctl.send(SIGUSR1);
  EXPECT_EQ(roster.next().role, "heard");
  gate.open();
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 8);
  EXPECT_EQ(outcome.report["result"], "exit-code");
}

TEST(Fact15, ADescendantWhoseFirstThreadHasEndedIsKilled) {
  Roster roster;
  Gate gate;
  Reapctl reapctl(run_of({"--ladder", "INT:100ms,KILL"},
                         misbehave(roster, {"fork", "[", "setsid", "ignore=INT", "thread-exits-first", "ready=half",
                                            "]", "ready=main", "await=" + gate.path(), "exit=0"})));
  const auto processes = roster.await_roles({"half", "main"});
  EXPECT_TRUE(await([&] { return is_zombie(processes.at("half")); }));
  gate.open();
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 0);
  EXPECT_FALSE(is_alive(processes.at("half")));
  ASSERT_EQ(outcome.report["tree"]["leftovers"].size(), 1U);
  EXPECT_EQ(outcome.report["tree"]["leftovers"][0]["died_of"], "KILL");
}

TEST(Fact16, ANameThatLooksLikeTheRestOfStatMisleadsNobody) {
  Roster roster;
  Gate gate;
  Reapctl reapctl(run_of({"--ladder", "INT:100ms,KILL"},
                         misbehave(roster, {"fork", "[", "setsid", "ignore=INT", "comm=) R 1 1 1 (x", "ready=odd", "]",
                                            "ready=main", "await=" + gate.path(), "exit=0"})));
  const auto processes = roster.await_roles({"odd", "main"});
  gate.open();
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 0);
  ASSERT_EQ(outcome.report["tree"]["leftovers"].size(), 1U);
  const auto& leftover = outcome.report["tree"]["leftovers"][0];
  EXPECT_EQ(leftover["pid"], processes.at("odd").pid);
  EXPECT_EQ(leftover["comm"], ") R 1 1 1 (x");
  EXPECT_EQ(leftover["sid"], processes.at("odd").pid);
}

TEST(Fact16, AZombieIsNeitherToldNorWaitedFor) {
  Roster roster;
  Reapctl reapctl(run_of({"--ladder", "INT:60s,KILL"},
                         misbehave(roster, {"fork", "[", "exit=0", "]", "await-exit", "ready=main"})));
  roster.await_roles({"main"});
  reapctl.send(SIGTERM);
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 130);
  ASSERT_FALSE(outcome.report["stop"].is_null());
  EXPECT_EQ(outcome.report["stop"]["rungs"][0]["told"], 1);
}

TEST(Fact17, ChildrenOfANestedSubreaperReachUsWhenItDies) {
  Roster roster;
  Gate gate;
  Reapctl reapctl(
      run_of({"--ladder", "INT:100ms,KILL"},
             misbehave(roster, {"fork", "[", "subreaper", "ignore=INT", "double-fork", "[", "setsid", "ready=deep", "]",
                                "ready=nested", "]", "ready=main", "await=" + gate.path(), "exit=0"})));
  const auto processes = roster.await_roles({"deep", "nested", "main"});
  EXPECT_EQ(parent_of(processes.at("deep")), processes.at("nested").pid);
  gate.open();
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 0);
  for (const auto& [role, process] : processes) EXPECT_FALSE(is_alive(process)) << role;
  std::vector<pid_t> leftovers;
  for (const auto& leftover : outcome.report["tree"]["leftovers"]) leftovers.push_back(leftover["pid"]);
  EXPECT_THAT(leftovers, Contains(processes.at("deep").pid));
  EXPECT_THAT(leftovers, Contains(processes.at("nested").pid));
}

TEST(Fact17, ASiblingMadeWithCloneParentIsNotTheMainCommand) {
  Roster roster;
  Gate early;
  Gate late;
  Reapctl reapctl(run_of({}, misbehave(roster, {"clone-parent", "[", "ready=sibling", "await=" + early.path(), "exit=9",
                                                "]", "ready=main", "await=" + late.path(), "exit=5"})));
  const auto processes = roster.await_roles({"sibling", "main"});
  EXPECT_EQ(parent_of(processes.at("sibling")), parent_of(processes.at("main")));
  early.open();
  EXPECT_TRUE(await([&] { return !read_stat(processes.at("sibling").pid).has_value(); })) << "reaped at once";
  late.open();
  EXPECT_EQ(reapctl.wait().code(), 5);
}

TEST(Fact17, ASiblingMadeWithCloneParentIsStoppedWithTheRest) {
  Roster roster;
  Reapctl reapctl(run_of({"--ladder", "INT:100ms,KILL"}, misbehave(roster, {"clone-parent", "[", "setsid", "ignore=INT",
                                                                            "ready=sibling", "]", "ready=main"})));
  const auto processes = roster.await_roles({"sibling", "main"});
  reapctl.send(SIGTERM);
  EXPECT_EQ(reapctl.wait().code(), 130);
  EXPECT_FALSE(is_alive(processes.at("sibling")));
}

}  // namespace
}  // namespace reapctl::test
