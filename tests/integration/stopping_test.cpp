#include "support/namespace.hpp"
#include "support/process.hpp"
#include "support/reapctl.hpp"
#include "support/strace.hpp"
#include "support/tool.hpp"

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <string>
#include <sys/utsname.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

/// Facts 18 to 25 of linux-facts: signalling and stopping. That a recycled pid is not signalled (18) is shown in the
/// unit tests; from outside no test can make the kernel hand out a pid again in time.
namespace reapctl::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

TEST(Fact19, AMemberOfTheDeadLeadersGroupIsStillFound) {
  Roster roster;
  Gate gate;
  // The leader of the group is reaped while a member of the group lives on.
  Reapctl reapctl(run_of({"--ladder", "INT:60s,KILL", "--scope", "group"},
                         misbehave(roster, {"double-fork", "[", "on=INT:say=heard", "on=INT:exit=0", "ready=member",
                                            "]", "ready=main", "await=" + gate.path(), "exit=0"})));
  const auto processes = roster.await_roles({"member", "main"});
  gate.open();
  EXPECT_EQ(roster.next().role, "heard");
  EXPECT_EQ(reapctl.wait().code(), 0);
}

/// Whether /proc/sys/kernel/pid_max belongs to each PID namespace (Linux 6.14): a limit for a storm of processes that
/// would otherwise take every pid of the machine.
bool pid_limit_is_per_namespace() {
  utsname name{};
  int major = 0;
  int minor = 0;
  return ::uname(&name) == 0 && std::sscanf(name.release, "%d.%d", &major, &minor) == 2 &&
         (major > 6 || (major == 6 && minor >= 14));
}

class Fact20 : public testing::TestWithParam<const char*> {};

TEST_P(Fact20, ChainsThatForkAndExitForEverEnd) {
  REQUIRE_PID_NAMESPACE();
  if (!pid_limit_is_per_namespace()) GTEST_SKIP() << "no way to limit the number of processes here";
  // A shell is PID 1: were it reapctl, the kernel would kill the rest at its exit. It counts what is left: itself.
  const std::string script =
      R"(echo 4000 > /proc/sys/kernel/pid_max || exit 99
         "$0" "$@"; code=$?; set -- /proc/[0-9]*; echo left $#; exit $code)";
  Roster roster;
  Launch launch =
      run_of({"--ladder", "INT:50ms,KILL"}, misbehave(roster, {std::string("chain=") + GetParam(), "ready=main"}));
  launch.wrapper = pid_namespace();
  launch.wrapper.insert(launch.wrapper.end(), {"sh", "-c", script});
  Reapctl reapctl(std::move(launch));
  roster.await_roles({"main"});
  // Below unshare is the shell, below the shell is reapctl.
  const std::vector<pid_t> shell = children_of(reapctl.pid());
  ASSERT_EQ(shell.size(), 1U);
  const std::vector<pid_t> inside = children_of(shell[0]);
  ASSERT_EQ(inside.size(), 1U);
  send_signal(inside[0], SIGTERM);
  const Outcome outcome = reapctl.wait(std::chrono::seconds(60));
  EXPECT_THAT(outcome.out, HasSubstr("left 1\n"));
  EXPECT_EQ(outcome.code(), 130);
  EXPECT_TRUE(outcome.report["tree"]["survivors"].empty());
}

INSTANTIATE_TEST_SUITE_P(Lines, Fact20, testing::Values("1", "8", "64"));

TEST(Fact21, AStoppedProcessHearsTheGracefulSignal) {
  Roster roster;
  Reapctl reapctl(run_of({"--ladder", "TERM:60s,KILL"},
                         misbehave(roster, {"fork", "[", "on=TERM:say=heard", "on=TERM:exit=0", "setsid",
                                            "ready=stopped", "stop-self", "]", "await-stop", "ready=main"})));
  roster.await_roles({"stopped", "main"});
  reapctl.send(SIGTERM);
  EXPECT_EQ(roster.next().role, "heard");
  EXPECT_EQ(reapctl.wait().code(), 128 + SIGTERM);
}

TEST(Fact22, TheLadderGoesOnWhenTheLeaderIsGone) {
  Roster roster;
  Reapctl reapctl(run_of({"--ladder", "INT:100ms,KILL"},
                         misbehave(roster, {"fork", "[", "ignore=INT", "setsid", "ready=deaf", "]", "ready=main"})));
  const auto processes = roster.await_roles({"deaf", "main"});
  reapctl.send(SIGTERM);
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 130);
  const auto& rungs = outcome.report["stop"]["rungs"];
  ASSERT_EQ(rungs.size(), 2U);
  EXPECT_EQ(rungs[0]["signal_name"], "INT");
  EXPECT_EQ(rungs[0]["told"], 2);
  EXPECT_EQ(rungs[0]["ended"], 1);
  EXPECT_EQ(rungs[0]["left"], 1);
  EXPECT_EQ(rungs[1]["signal_name"], "KILL");
  EXPECT_GE(rungs[1]["at_ms"], 100);
  EXPECT_EQ(rungs[1]["told"], 1);
  EXPECT_EQ(rungs[1]["ended"], 1);
  EXPECT_EQ(rungs[1]["left"], 0);
  ASSERT_EQ(outcome.report["tree"]["leftovers"].size(), 1U);
  const auto& leftover = outcome.report["tree"]["leftovers"][0];
  EXPECT_EQ(leftover["pid"], processes.at("deaf").pid);
  EXPECT_EQ(leftover["died_of"], "KILL");
  EXPECT_EQ(leftover["rung"], "KILL");
}

TEST(Fact22, TheLadderEndsWhenTheTreeIsEmpty) {
  Roster roster;
  // The bound of an hour is not waited for: the outcome comes within the patience of the test.
  Reapctl reapctl(run_of({"--ladder", "INT:1h,TERM:1h,KILL"},
                         misbehave(roster, {"fork", "[", "setsid", "ready=child", "]", "ready=main"})));
  roster.await_roles({"child", "main"});
  reapctl.send(SIGTERM);
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 130);
  EXPECT_EQ(outcome.report["stop"]["rungs"].size(), 1U);
}

TEST(Fact23, WhatCannotBeKilledIsReportedAndHoldsNothingUp) {
  REQUIRE_STRACE();
  Roster roster;
  TempDir directory;
  Launch launch = run_of({"--contain", "subreaper", "--no-guard", "--no-workdir", "--ladder", "INT:50ms,KILL"},
                         misbehave(roster, {"ready=main"}));
  launch.wrapper = strace(directory / "trace", {"-e", "inject=kill,tgkill,pidfd_send_signal:error=EPERM"});
  launch.leaves_processes = true;
  Reapctl reapctl(std::move(launch));
  const Process main = roster.next();
  send_signal(front_of(main), SIGTERM);
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 125);
  ASSERT_EQ(outcome.report["tree"]["survivors"].size(), 1U);
  const auto& survivor = outcome.report["tree"]["survivors"][0];
  EXPECT_EQ(survivor["pid"], main.pid);
  EXPECT_EQ(survivor["comm"], "misbehave");
  EXPECT_EQ(survivor["state"], "S");
  EXPECT_THAT(survivor["reason"].get<std::string>(), testing::AnyOf(HasSubstr("EPERM"), HasSubstr("not permitted")));
  EXPECT_EQ(kill_leftovers({}).size(), 1U);
}

TEST(Fact23, ASetUidDescendantIsASurvivor) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to make a set-uid program";
  if (quiet_status({"setpriv", "--version"}) != 0) GTEST_SKIP() << "setpriv is not installed";
  Roster roster;
  TempDir directory;
  // Everything another user needs to get at; TempDir makes its directories 0700.
  fs::permissions(directory.path(), fs::perms::all);
  fs::permissions(fs::path(roster.path()).parent_path(), fs::perms::all);
  fs::permissions(roster.path(), fs::perms::all);
  const std::string copy = directory / "set-uid";
  fs::copy_file(misbehave_path(), copy);
  fs::permissions(copy, fs::perms::set_uid | fs::perms::owner_all | fs::perms::group_exec | fs::perms::others_exec);
  // A process whose real and saved uid are root's, too: nobody may not signal it, kill(2).
  Launch launch{.args = {"run", "--report", directory / "report", "--no-workdir", "--ladder", "INT:50ms,KILL", "--",
                         copy, "--ready", roster.path(), "become-effective-user", "ready=main"},
                .wrapper = {"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"},
                .env = {{"REAPCTL_REGISTRY", directory / "registry"}},
                .cwd = "/"};
  launch.leaves_processes = true;
  if (quiet_status({"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", reapctl_path(), "--version"}) != 0) {
    GTEST_SKIP() << "another user can't get at the build directory";
  }
  Reapctl reapctl(std::move(launch));
  const Process main = roster.next();
  reapctl.send(SIGTERM);
  EXPECT_EQ(reapctl.wait().code(), 125);
  const auto report = nlohmann::json::parse(read_file(directory / "report"), nullptr, false);
  ASSERT_EQ(report["tree"]["survivors"].size(), 1U);
  EXPECT_EQ(report["tree"]["survivors"][0]["pid"], main.pid);
  EXPECT_EQ(kill_leftovers({}).size(), 1U);
}

class Fact24 : public testing::TestWithParam<const char*> {};

TEST_P(Fact24, SignalsThatSomebodySentAreForwarded) {
  Roster roster;
  const std::string name = GetParam();
  Reapctl reapctl(run_of({}, misbehave(roster, {"on=" + name + ":say=heard", "on=" + name + ":exit=3", "ready=main"})));
  roster.await_roles({"main"});
  reapctl.send(name == "RTMIN+3" ? SIGRTMIN + 3 : name == "RTMIN+30" ? SIGRTMAX : name == "ABRT" ? SIGABRT : SIGSEGV);
  EXPECT_EQ(roster.next().role, "heard");
  EXPECT_EQ(reapctl.wait().code(), 3);
}

INSTANTIATE_TEST_SUITE_P(Signal, Fact24, testing::Values("SEGV", "ABRT", "RTMIN+3", "RTMIN+30"));

TEST(Fact25, ACommandThatExitsZeroAfterATimeoutHasTimedOut) {
  const Outcome outcome = run(run_of({"--timeout", "200ms"}, misbehave({"on=INT:exit=0"})));
  EXPECT_EQ(outcome.code(), 124);
  EXPECT_EQ(outcome.report["result"], "timeout");
}

TEST(Fact25, ATimeoutThatHadToKillIsStill124) {
  const Outcome outcome = run(run_of({"--timeout", "100ms", "--ladder", "INT:50ms,KILL"}, misbehave({"ignore=all"})));
  EXPECT_EQ(outcome.code(), 124);
  EXPECT_EQ(outcome.report["exit"]["signal_name"], "KILL");
}

}  // namespace
}  // namespace reapctl::test
