#include "support/process.hpp"
#include "support/reapctl.hpp"

#include <chrono>
#include <csignal>
#include <filesystem>
#include <string>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

/// The options about stopping: rungs, bounds, scope, repetition, leftovers. That a rung is a bound and not a wait shows
/// by bounds of an hour: a run that waited for one would outlast the patience of the test.
namespace reapctl::test {
namespace {

using testing::ElementsAre;

std::vector<std::string> rungs_of(const Outcome& outcome) {
  std::vector<std::string> names;
  for (const auto& rung : outcome.report["stop"]["rungs"]) names.push_back(rung["signal_name"]);
  return names;
}

TEST(Rungs, TheSecondSignalGoesToTheNextRungAndTheThirdKills) {
  Roster roster;
  Reapctl reapctl(run_of({"--ladder", "INT:1h,TERM:1h,HUP:1h,KILL"},
                         misbehave(roster, {"on=INT:say=int", "on=TERM:say=term", "on=HUP:say=hup", "ready=main"})));
  roster.await_roles({"main"});
  reapctl.send(SIGTERM);
  EXPECT_EQ(roster.next().role, "int");
  reapctl.send(SIGTERM);
  EXPECT_EQ(roster.next().role, "term");
  reapctl.send(SIGINT);
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 137);
  EXPECT_THAT(rungs_of(outcome), ElementsAre("INT", "TERM", "KILL"));
  EXPECT_TRUE(roster.take_all().empty()) << "HUP was passed over";
}

TEST(Rungs, AlternativeGoesToThoseWhoIgnoreTheFirst) {
  Roster roster;
  Reapctl reapctl(
      run_of({"--ladder", "INT/TERM:1h,KILL"},
             misbehave(roster, {"fork", "[", "ignore=INT", "on=TERM:say=child-term", "on=TERM:exit=0", "ready=child",
                                "]", "on=INT:say=main-int", "on=INT:exit=0", "on=TERM:say=main-term", "ready=main"})));
  roster.await_roles({"child", "main"});
  reapctl.send(SIGTERM);
  roster.await_roles({"child-term", "main-int"});
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 0);
  EXPECT_TRUE(roster.take_all().empty());
  EXPECT_THAT(rungs_of(outcome), ElementsAre("INT/TERM"));
}

TEST(Rungs, TheDefaultIsIntOrTerm) {
  Roster roster;
  Reapctl reapctl(run_of({}, misbehave(roster, {"ignore=INT", "ready=main"})));
  roster.await_roles({"main"});
  reapctl.send(SIGTERM);
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 143);
  EXPECT_THAT(rungs_of(outcome), ElementsAre("INT/TERM"));
}

TEST(Rungs, KillIsAddedWhenMissing) {
  Roster roster;
  Reapctl reapctl(run_of({"--ladder", "INT:50ms"}, misbehave(roster, {"ignore=INT", "ready=main"})));
  roster.await_roles({"main"});
  reapctl.send(SIGTERM);
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 137);
  EXPECT_THAT(rungs_of(outcome), ElementsAre("INT", "KILL"));
}

TEST(Rungs, ABoundOfZeroMeansAtOnce) {
  Roster roster;
  Reapctl reapctl(run_of({"--ladder", "INT:0,KILL"}, misbehave(roster, {"ignore=INT", "ready=main"})));
  roster.await_roles({"main"});
  reapctl.send(SIGTERM);
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 137);
  EXPECT_THAT(rungs_of(outcome), ElementsAre("INT", "KILL"));
}

TEST(Rungs, SignalAndKillAfterAreALadder) {
  Roster roster;
  Reapctl reapctl(run_of({"-s", "USR2", "-k", "50ms"}, misbehave(roster, {"on=USR2:say=usr2", "ready=main"})));
  roster.await_roles({"main"});
  reapctl.send(SIGTERM);
  EXPECT_EQ(roster.next().role, "usr2");
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 137);
  EXPECT_THAT(rungs_of(outcome), ElementsAre("USR2", "KILL"));
}

TEST(Rungs, BoundsDoNotAddUpOverProcesses) {
  Roster roster;
  Args steps;
  for (int i = 0; i < 10; ++i) steps.insert(steps.end(), {"fork", "[", "setsid", "ignore=INT", "ready=deaf", "]"});
  Reapctl reapctl(run_of({"--ladder", "INT:100ms,KILL"}, misbehave(roster, steps)));
  for (int i = 0; i < 10; ++i) (void)roster.next();
  reapctl.send(SIGTERM);
  const Outcome outcome = reapctl.wait();
  ASSERT_EQ(rungs_of(outcome).size(), 2U);
  EXPECT_EQ(outcome.report["stop"]["rungs"][1]["told"], 10);
  EXPECT_GE(outcome.report["stop"]["duration_ms"], 100);
}

TEST(Rungs, StopTimeoutCapsEverything) {
  Roster roster;
  Reapctl reapctl(run_of({"--ladder", "INT:1h,TERM:1h,KILL", "--stop-timeout", "200ms"},
                         misbehave(roster, {"ignore=INT,TERM", "ready=main"})));
  roster.await_roles({"main"});
  reapctl.send(SIGTERM);
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 137);
  EXPECT_EQ(outcome.report["stop"]["timeout_hit"], true);
}

TEST(Rungs, StopTimeoutOfZeroKillsAtOnce) {
  Roster roster;
  Reapctl reapctl(
      run_of({"--ladder", "INT:1h,KILL", "--stop-timeout", "0"}, misbehave(roster, {"ready=main", "on=INT:exit=0"})));
  roster.await_roles({"main"});
  reapctl.send(SIGTERM);
  EXPECT_TRUE(await_end(reapctl.pid()));
  (void)reapctl.wait();
}

TEST(Rungs, ASecondRequestDuringTheLadderDoesNotBreakOffTheCleanup) {
  Roster roster;
  TempDir directory;
  Reapctl reapctl(run_of({"--workdir-base", directory.path()}, misbehave(roster, {"ready=main"})));
  roster.await_roles({"main"});
  for (int i = 0; i < 5; ++i) reapctl.send(SIGTERM);
  const Outcome outcome = reapctl.wait();
  EXPECT_NE(outcome.code(), 0);
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

TEST(Scope, MainIsHeardByTheMainCommandAlone) {
  Roster roster;
  Reapctl reapctl(run_of({"--scope", "main", "--ladder", "INT:1h,KILL"},
                         misbehave(roster, {"fork", "[", "on=INT:say=child-int", "on=INT:exit=0", "ready=child", "]",
                                            "on=INT:say=main-int", "on=TERM:exit=4", "ready=main"})));
  const auto processes = roster.await_roles({"child", "main"});
  reapctl.send(SIGTERM);
  EXPECT_EQ(roster.next().role, "main-int");
  // Who is left when the main command has exited hears the rung then.
  EXPECT_TRUE(is_alive(processes.at("child")));
  send_signal(processes.at("main").pid, SIGTERM);
  EXPECT_EQ(roster.next().role, "child-int");
  EXPECT_EQ(reapctl.wait().code(), 4);
}

TEST(Scope, GroupIsHeardByTheCommandsGroup) {
  Roster roster;
  Reapctl reapctl(run_of({"--scope", "group", "--ladder", "INT:1h,KILL"},
                         misbehave(roster, {"fork", "[", "setsid", "on=INT:say=outsider", "on=INT:exit=0",
                                            "ready=child", "]", "fork", "[", "on=INT:say=member", "on=INT:exit=0",
                                            "ready=in", "]", "on=INT:say=main-int", "on=TERM:exit=4", "ready=main"})));
  const auto processes = roster.await_roles({"child", "in", "main"});
  reapctl.send(SIGTERM);
  roster.await_roles({"main-int", "member"});
  send_signal(processes.at("main").pid, SIGTERM);
  EXPECT_EQ(roster.next().role, "outsider");
  EXPECT_EQ(reapctl.wait().code(), 4);
}

TEST(Scope, TreeIsTheDefaultAndHeardByEverybody) {
  Roster roster;
  Reapctl reapctl(
      run_of({"--ladder", "INT:1h,KILL"},
             misbehave(roster, {"fork", "[", "setsid", "on=INT:say=child-int", "on=INT:exit=0", "ready=child", "]",
                                "on=INT:say=main-int", "wait", "exit=4", "ready=main"})));
  roster.await_roles({"child"});
  reapctl.send(SIGTERM);
  roster.await_roles({"child-int", "main-int"});
  EXPECT_EQ(reapctl.wait().code(), 4);
}

TEST(Leftovers, AreStoppedByDefault) {
  Roster roster;
  Gate gate;
  Reapctl reapctl(run_of({}, misbehave(roster, {"fork", "[", "setsid", "ready=child", "]", "ready=main",
                                                "await=" + gate.path(), "exit=3"})));
  const auto processes = roster.await_roles({"child", "main"});
  gate.open();
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 3);
  EXPECT_EQ(outcome.report["result"], "exit-code");
  EXPECT_EQ(outcome.report["stop"]["cause"], "leftovers");
  ASSERT_EQ(outcome.report["tree"]["leftovers"].size(), 1U);
  EXPECT_EQ(outcome.report["tree"]["leftovers"][0]["died_of"], "INT");
}

TEST(Leftovers, CanBeWaitedFor) {
  Roster roster;
  Gate first;
  Gate second;
  TempDir directory;
  const std::string events = directory / "events";
  Reapctl reapctl(run_of({"--leftovers", "wait", "--events", events},
                         misbehave(roster, {"double-fork", "[", "ready=child", "await=" + second.path(), "exit=0", "]",
                                            "ready=main", "await=" + first.path(), "exit=3"})));
  const auto processes = roster.await_roles({"child", "main"});
  first.open();
  EXPECT_TRUE(await([&] { return read_file(events).find("\"left\"") != std::string::npos; }));
  EXPECT_TRUE(is_alive(processes.at("child")));
  second.open();
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 3);
  EXPECT_TRUE(outcome.report["stop"].is_null());
  ASSERT_EQ(outcome.report["tree"]["leftovers"].size(), 1U);
  EXPECT_TRUE(outcome.report["tree"]["leftovers"][0]["died_of"].is_null());
}

TEST(Leftovers, WaitedForCanStillBeStopped) {
  Roster roster;
  Gate gate;
  Reapctl reapctl(run_of({"--leftovers", "wait"}, misbehave(roster, {"double-fork", "[", "ready=child", "]",
                                                                     "ready=main", "await=" + gate.path(), "exit=3"})));
  const auto processes = roster.await_roles({"child", "main"});
  gate.open();
  EXPECT_TRUE(await([&] { return !is_alive(processes.at("main")); }));
  reapctl.send(SIGTERM);
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 3);
  EXPECT_EQ(outcome.report["result"], "stopped");
}

TEST(Leftovers, CanBeLeft) {
  Roster roster;
  Gate gate;
  Launch launch = run_of(
      {"--no-workdir", "--leftovers", "leave"},
      misbehave(roster, {"fork", "[", "setsid", "ready=child", "]", "ready=main", "await=" + gate.path(), "exit=3"}));
  const TempDir directory;
  const std::map<std::string, std::string> env = {{"REAPCTL_REGISTRY", directory / "registry"}};
  launch.env = env;
  launch.leaves_processes = true;
  Reapctl reapctl(std::move(launch));
  const auto processes = roster.await_roles({"child", "main"});
  gate.open();
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 3);
  EXPECT_TRUE(is_alive(processes.at("child")));
  EXPECT_TRUE(outcome.report["tree"]["survivors"].empty()) << "it was left, it did not survive";
  ASSERT_EQ(outcome.report["tree"]["leftovers"].size(), 1U);
  EXPECT_EQ(outcome.report["tree"]["leftovers"][0]["pid"], processes.at("child").pid);
  EXPECT_EQ(kill_leftovers({}).size(), 1U);
  // Now that nobody uses them, the record and the cgroup are for a sweep.
  EXPECT_EQ(run({.args = {"sweep"}, .env = env}).code(), 0);
  EXPECT_TRUE(std::filesystem::is_empty(directory / "registry"));
  if (const auto& cgroup = outcome.report["containment"]["cgroup"]; !cgroup.is_null()) {
    EXPECT_FALSE(std::filesystem::exists(cgroup["path"].get<std::string>()));
  }
}

TEST(Timeout, StopsEverybodyAndReportsIt) {
  const Outcome outcome = run(run_of({"-t", "100ms", "--ladder", "INT:50ms,KILL"}, sh("trap '' INT; sleep 60 & wait")));
  EXPECT_EQ(outcome.code(), 124);
  EXPECT_GE(outcome.elapsed.count(), 100);
  EXPECT_TRUE(outcome.report["stop"]["signal_name"].is_null());
  EXPECT_FALSE(outcome.report["stop"]["snapshot"].empty());
}

}  // namespace
}  // namespace reapctl::test
