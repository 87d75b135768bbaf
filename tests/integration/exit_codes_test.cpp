#include "support/process.hpp"
#include "support/reapctl.hpp"
#include "support/strace.hpp"

#include <csignal>
#include <string>

#include <gtest/gtest.h>

/// Every exit code of the contract, through the real binary.
namespace reapctl::test {
namespace {

class OwnExitCode : public testing::TestWithParam<int> {};

TEST_P(OwnExitCode, IsPassedOn) {
  const Outcome outcome = run(run_of({}, sh("exit " + std::to_string(GetParam()))));
  EXPECT_EQ(outcome.code(), GetParam());
  EXPECT_EQ(outcome.killed_by(), 0);
  EXPECT_EQ(outcome.report["exit_code"], GetParam());
  EXPECT_EQ(outcome.report["result"], GetParam() == 0 ? "success" : "exit-code");
  EXPECT_EQ(outcome.report["exit"]["kind"], "exited");
  EXPECT_EQ(outcome.report["exit"]["code"], GetParam());
  EXPECT_TRUE(outcome.report["exit"]["signal"].is_null());
  EXPECT_TRUE(outcome.report["stop"].is_null());
}

INSTANTIATE_TEST_SUITE_P(ExitCodes, OwnExitCode, testing::Values(0, 1, 42, 75, 124, 125, 126, 127, 128, 143, 255));

class DeathBySignal : public testing::TestWithParam<const char*> {};

TEST_P(DeathBySignal, Is128PlusTheNumberAndNeverZero) {
  const std::string name = GetParam();
  const int number = name == "RTMIN+1" ? SIGRTMIN + 1 : name == "HUP" ? SIGHUP : name == "KILL" ? SIGKILL : SIGTERM;
  const Outcome outcome = run(run_of({}, misbehave({"kill-self=" + name})));
  EXPECT_EQ(outcome.code(), 128 + number);
  EXPECT_EQ(outcome.report["exit_code"], 128 + number);
  EXPECT_EQ(outcome.report["result"], "signal");
  EXPECT_EQ(outcome.report["exit"]["kind"], "killed");
  EXPECT_EQ(outcome.report["exit"]["signal"], number);
  EXPECT_EQ(outcome.report["exit"]["signal_name"], name);
  EXPECT_TRUE(outcome.report["exit"]["code"].is_null());
}

INSTANTIATE_TEST_SUITE_P(ExitCodes, DeathBySignal, testing::Values("TERM", "HUP", "KILL", "RTMIN+1"));

TEST(ExitCodes, DeathBySigintLooksLikeItToTheCaller) {
  const Outcome outcome = run(run_of({}, misbehave({"kill-self=INT"})));
  EXPECT_EQ(outcome.code(), 130);
  EXPECT_EQ(outcome.report["exit_code"], 130);
}

TEST(ExitCodes, CoreDumpIs128PlusTheNumber) {
  const Outcome outcome = run(run_of({}, misbehave({"kill-self=SEGV"})));
  EXPECT_EQ(outcome.code(), 128 + SIGSEGV);
  EXPECT_EQ(outcome.killed_by(), 0);
  const bool dumped = outcome.report["exit"]["kind"] == "dumped";  // the limit on core files decides
  EXPECT_EQ(outcome.report["result"], dumped ? "core-dump" : "signal");
}

TEST(ExitCodes, TimeoutIs124) {
  const Outcome outcome = run(run_of({"--timeout", "50ms"}, {"sleep", "60"}));
  EXPECT_EQ(outcome.code(), 124);
  EXPECT_EQ(outcome.report["result"], "timeout");
  EXPECT_EQ(outcome.report["exit_code"], 124);
  EXPECT_EQ(outcome.report["stop"]["cause"], "timeout");
}

TEST(ExitCodes, TimeoutOfZeroIsNone) {
  EXPECT_EQ(run(run_of({"--timeout", "0"}, sh("exit 3"))).code(), 3);
}

TEST(ExitCodes, UsageErrorIs125) {
  EXPECT_EQ(run({.args = {"run", "--no-such-option", "true"}}).code(), 125);
}

TEST(ExitCodes, NotExecutableIs126) {
  EXPECT_EQ(run(run_of({}, {"/etc"})).code(), 126);
}

TEST(ExitCodes, NotFoundIs127) {
  EXPECT_EQ(run(run_of({}, {"no-such-command-anywhere"})).code(), 127);
}

TEST(ExitCodes, StoppedShowsHowTheCommandEnded) {
  Roster roster;
  Reapctl reapctl(run_of({}, misbehave(roster, {"on=INT:exit=9", "ready=main"})));
  roster.await_roles({"main"});
  reapctl.send(SIGTERM);
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 9);
  EXPECT_EQ(outcome.report["result"], "stopped");
  EXPECT_EQ(outcome.report["stop"]["cause"], "signal");
  EXPECT_EQ(outcome.report["stop"]["signal_name"], "TERM");
  EXPECT_EQ(outcome.report["stop"]["sender_pid"], ::getpid());
}

TEST(ExitCodes, SurvivorTurnsZeroInto125) {
  REQUIRE_STRACE();
  Roster roster;
  Gate gate;
  TempDir directory;
  Launch launch = run_of({"--contain", "subreaper", "--no-guard", "--ladder", "KILL", "--no-workdir"},
                         misbehave(roster, {"fork", "[", "setsid", "ready=straggler", "]", "ready=main",
                                            "await=" + gate.path(), "exit=0"}));
  launch.wrapper = strace(directory / "trace", {"-e", "inject=kill,pidfd_send_signal,tgkill:error=EPERM"});
  launch.leaves_processes = true;
  Reapctl reapctl(std::move(launch));
  const auto processes = roster.await_roles({"straggler", "main"});
  gate.open();
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 125);
  EXPECT_EQ(outcome.report["exit_code"], 125);
  EXPECT_EQ(outcome.report["exit"]["code"], 0);
  ASSERT_EQ(outcome.report["tree"]["survivors"].size(), 1U);
  EXPECT_EQ(outcome.report["tree"]["survivors"][0]["pid"], processes.at("straggler").pid);
  EXPECT_EQ(kill_leftovers({}).size(), 1U);
}

struct OkExit {
  const char* accepted;
  Args command;
  int code;
};

class OkExitCode : public testing::TestWithParam<OkExit> {};

TEST_P(OkExitCode, BecomesZero) {
  const Outcome outcome = run(run_of({"--ok-exit", GetParam().accepted}, GetParam().command));
  EXPECT_EQ(outcome.code(), GetParam().code);
  EXPECT_EQ(outcome.report["exit_code"], GetParam().code);
}

INSTANTIATE_TEST_SUITE_P(ExitCodes, OkExitCode,
                         testing::Values(OkExit{"3", sh("exit 3"), 0}, OkExit{"3", sh("exit 0"), 0},
                                         OkExit{"3", sh("exit 4"), 4}, OkExit{"3,TERM", sh("kill -TERM $$"), 0},
                                         OkExit{"SIGTERM", sh("kill -TERM $$"), 0},
                                         OkExit{"3,TERM", sh("kill -HUP $$"), 129},
                                         OkExit{"INT", misbehave({"kill-self=INT"}), 0},
                                         OkExit{"143", sh("exit 143"), 0}));

TEST(ExitCodes, OkExitNeverCoversATimeout) {
  const Outcome outcome = run(run_of({"--ok-exit", "INT,124,0", "--timeout", "50ms"}, {"sleep", "60"}));
  EXPECT_EQ(outcome.code(), 124);
}

TEST(ExitCodes, OkExitCoversARequestedStop) {
  Roster roster;
  Reapctl reapctl(run_of({"--ok-exit", "INT"}, misbehave(roster, {"ready=main"})));
  roster.await_roles({"main"});
  reapctl.send(SIGTERM);
  EXPECT_EQ(reapctl.wait().code(), 0);
}

}  // namespace
}  // namespace reapctl::test
