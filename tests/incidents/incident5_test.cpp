#include "support/process.hpp"
#include "support/reapctl.hpp"

#include <csignal>
#include <string>

#include <gtest/gtest.h>

/// Incident 5, wool pull request 276: workers outlived whoever started them.
namespace reapctl::test {
namespace {

TEST(Incident5, AWorkerThatAnswersNothingEndsAtTheLastRung) {
  Roster roster;
  Reapctl reapctl(
      run_of({"--ladder", "INT:50ms,TERM:50ms,KILL"},
             misbehave(roster, {"fork", "[", "ignore=all", "block=all", "setsid", "ready=worker", "]", "ready=main"})));
  roster.await_roles({"worker", "main"});
  reapctl.send(SIGTERM);
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.report["stop"]["rungs"].size(), 3U);
  ASSERT_EQ(outcome.report["tree"]["leftovers"].size(), 1U);
  EXPECT_EQ(outcome.report["tree"]["leftovers"][0]["died_of"], "KILL");
}

TEST(Incident5, AStoppedWorkerDiesToo) {
  Roster roster;
  Reapctl reapctl(
      run_of({"--ladder", "INT:50ms,KILL"}, misbehave(roster, {"fork", "[", "ignore=INT", "setsid", "ready=worker",
                                                               "stop-self", "]", "await-stop", "ready=main"})));
  const auto processes = roster.await_roles({"worker", "main"});
  reapctl.send(SIGTERM);
  EXPECT_EQ(reapctl.wait().code(), 130);
  EXPECT_FALSE(is_alive(processes.at("worker")));
}

TEST(Incident5, AZeroBoundMeansAtOnce) {
  Roster roster;
  Reapctl reapctl(run_of({"-s", "INT", "-k", "0"}, misbehave(roster, {"ignore=INT", "ready=main"})));
  roster.await_roles({"main"});
  reapctl.send(SIGTERM);
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 137);
  EXPECT_EQ(outcome.report["stop"]["rungs"].size(), 2U);
}

TEST(Incident5, NothingArmedForLaterOutlivesTheExit) {
  // A timeout of an hour and a ladder of hours: the exit comes when the command's does.
  const Outcome outcome =
      run(run_of({"--timeout", "1h", "--ladder", "INT:1h,TERM:1h,KILL", "--stop-timeout", "5h"}, sh("exit 6")));
  EXPECT_EQ(outcome.code(), 6);
}

TEST(Incident5, TheParentsDeathStopsAPoolOfWorkers) {
  Roster roster;
  Launch launch = run_of({"--die-with", "parent", "--ladder", "INT:50ms,KILL"},
                         misbehave(roster, {"fork", "[", "ignore=INT", "ready=worker1", "]", "fork", "[", "setsid",
                                            "ignore=INT", "ready=worker2", "]", "ready=main"}));
  launch.wrapper = misbehave(roster, {"fork", "[", "exec"});
  launch.args.insert(launch.args.end(), {"]", "ready=parent"});
  launch.leaves_processes = true;
  Reapctl parent(std::move(launch));
  const auto processes = roster.await_roles({"parent", "worker1", "worker2", "main"});
  const pid_t supervisor = read_stat(processes.at("main").pid).value_or(ProcStat{}).ppid;
  parent.send(SIGKILL);
  EXPECT_TRUE(await_end(supervisor));
  for (const auto& [role, process] : processes) EXPECT_FALSE(is_alive(process)) << role;
  (void)parent.wait();
  EXPECT_LE(kill_leftovers({}).size(), 1U) << "at most reapctl itself, which is ours to reap";
}

}  // namespace
}  // namespace reapctl::test
