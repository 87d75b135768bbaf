#include "support/process.hpp"
#include "support/reapctl.hpp"

#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <string>
#include <sys/resource.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

/// Signals that reapctl receives: which stop the run, which are forwarded, to whom, as what; and --die-with.
namespace reapctl::test {
namespace {

TEST(Forwarding, OtherSignalsReachTheCommandUnchanged) {
  Roster roster;
  Reapctl reapctl(run_of({}, misbehave(roster, {"on=HUP:say=hup", "on=USR1:say=usr1", "on=WINCH:say=winch",
                                                "on=RTMIN+5:say=rt5", "ready=main"})));
  roster.await_roles({"main"});
  for (const auto& [number, role] : std::initializer_list<std::pair<int, const char*>>{
           {SIGHUP, "hup"}, {SIGUSR1, "usr1"}, {SIGWINCH, "winch"}, {SIGRTMIN + 5, "rt5"}}) {
    reapctl.send(number);
    EXPECT_EQ(roster.next().role, role);
  }
  reapctl.send(SIGTERM);
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.report["result"], "stopped");
}

TEST(Forwarding, ACommandThatDiesOfItIsNotStopped) {
  Roster roster;
  Reapctl reapctl(run_of({}, misbehave(roster, {"ready=main"})));
  roster.await_roles({"main"});
  reapctl.send(SIGHUP);
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 128 + SIGHUP);
  EXPECT_EQ(outcome.report["result"], "signal");
  EXPECT_TRUE(outcome.report["stop"].is_null());
}

TEST(Forwarding, WhatReapctlRunsIntoItselfIsNotForwarded) {
  // The record is too long for any file to be, and the kernel says so by a signal that would end the command.
  for (const Args& options : {Args{}, Args{"--no-guard"}}) {
    Gate gate;
    Roster roster;
    Launch launch =
        run_of(options, misbehave(roster, {"on=WINCH:say=winch", "ready=main", "await=" + gate.path(), "exit=0"}));
    launch.before_exec = [] {
      const rlimit limit{.rlim_cur = 4000, .rlim_max = 4000};
      (void)::setrlimit(RLIMIT_FSIZE, &limit);
    };
    Reapctl reapctl(std::move(launch));
    roster.await_roles({"main"});
    reapctl.send(SIGWINCH);  // comes behind all that was there before it
    EXPECT_EQ(roster.next().role, "winch");
    gate.open();
    const Outcome outcome = reapctl.wait();
    EXPECT_EQ(outcome.code(), 0) << outcome.err;
    EXPECT_THAT(outcome.report["warnings"].dump(), testing::HasSubstr("not on record"));
    EXPECT_THAT(outcome.report["warnings"].dump(), testing::HasSubstr("File too large"));
  }
}

TEST(Forwarding, EventsThatAFileHasNoRoomForAreNotNewsThemselves) {
  TempDir directory;
  write_file(directory / "events", std::string(8192, '\n'));
  Launch launch = run_of({"--no-guard", "--events", directory / "events"}, {"true"});
  launch.before_exec = [] {
    const rlimit limit{.rlim_cur = 8192, .rlim_max = 8192};
    (void)::setrlimit(RLIMIT_FSIZE, &limit);
  };
  const Outcome outcome = run(std::move(launch));
  EXPECT_EQ(outcome.code(), 0) << outcome.err;
  EXPECT_EQ(outcome.report["warnings"][0], "--events: 4 events are lost: cannot write: File too large");
}

TEST(Forwarding, SomeSignalsAreNeverForwarded) {
  Roster roster;
  Reapctl reapctl(
      run_of({}, misbehave(roster, {"on=CHLD:say=chld", "on=PIPE:say=pipe", "on=CONT:say=cont", "on=TSTP:say=tstp",
                                    "on=TTIN:say=ttin", "on=TTOU:say=ttou", "on=USR1:say=usr1", "ready=main"})));
  roster.await_roles({"main"});
  for (const int number : {SIGCHLD, SIGPIPE, SIGTTIN, SIGTTOU, SIGTSTP, SIGCONT}) reapctl.send(number);
  reapctl.send(SIGUSR1);
  EXPECT_EQ(roster.next().role, "usr1") << "nothing came before it";
  reapctl.send(SIGTERM);
  (void)reapctl.wait();
}

TEST(Forwarding, ToTheMainCommandAloneByDefault) {
  Roster roster;
  Reapctl reapctl(run_of({}, misbehave(roster, {"fork", "[", "on=USR1:say=child", "on=USR2:say=child-too",
                                                "ready=child", "]", "on=USR1:say=main", "ready=main"})));
  const auto processes = roster.await_roles({"child", "main"});
  reapctl.send(SIGUSR1);
  EXPECT_EQ(roster.next().role, "main");
  send_signal(processes.at("child").pid, SIGUSR2);
  EXPECT_EQ(roster.next().role, "child-too") << "and not USR1 before it";
  reapctl.send(SIGTERM);
  (void)reapctl.wait();
}

TEST(Forwarding, ToTheGroupIfAsked) {
  Roster roster;
  Reapctl reapctl(run_of({"--forward-to", "group"},
                         misbehave(roster, {"fork", "[", "on=USR1:say=child-usr1", "ready=child", "]", "fork", "[",
                                            "setsid", "on=USR1:say=outsider", "on=USR2:say=outsider-too", "ready=out",
                                            "]", "on=USR1:say=main-usr1", "ready=main"})));
  const auto processes = roster.await_roles({"child", "out", "main"});
  reapctl.send(SIGUSR1);
  roster.await_roles({"child-usr1", "main-usr1"});
  send_signal(processes.at("out").pid, SIGUSR2);
  EXPECT_EQ(roster.next().role, "outsider-too");
  reapctl.send(SIGTERM);
  (void)reapctl.wait();
}

TEST(Forwarding, MapRewritesAndDrops) {
  Roster roster;
  Reapctl reapctl(run_of({"--map", "HUP:USR1", "--map", "USR2:0", "--map", "RTMIN+1:RTMIN+2"},
                         misbehave(roster, {"on=HUP:say=hup", "on=USR1:say=usr1", "on=USR2:say=usr2",
                                            "on=RTMIN+2:say=rt2", "ready=main"})));
  roster.await_roles({"main"});
  reapctl.send(SIGUSR2);
  reapctl.send(SIGHUP);
  EXPECT_EQ(roster.next().role, "usr1");
  reapctl.send(SIGRTMIN + 1);
  EXPECT_EQ(roster.next().role, "rt2");
  reapctl.send(SIGTERM);
  (void)reapctl.wait();
}

/// As a script has it with `server & kill -QUIT $!`: the shell has SIGINT and SIGQUIT ignored, and the server has not.
TEST(Forwarding, WhatTheCallerIgnoresIsForTheCommandToDecide) {
  Roster roster;
  Launch launch =
      run_of({"--map", "USR2:TERM"}, misbehave(roster, {"on=QUIT:say=quit", "on=INT:exit=3", "ready=main"}));
  launch.ignored = {SIGINT, SIGQUIT, SIGHUP, SIGUSR2};
  Reapctl reapctl(std::move(launch));
  roster.await_roles({"main"});
  for (const int number : {SIGHUP, SIGUSR2, SIGQUIT}) reapctl.send(number);
  EXPECT_EQ(roster.next().role, "quit") << "SIGHUP is ignored as under nohup, SIGUSR2 does not become another";
  reapctl.send(SIGINT);
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 3);
  EXPECT_EQ(outcome.report["result"], "exit-code") << "passed on: no stop";
  EXPECT_TRUE(outcome.report["stop"].is_null());
}

TEST(StopOn, WhatTheCallerIgnoresDoesNotStop) {
  Roster roster;
  Launch launch = run_of({}, misbehave(roster, {"on=USR1:exit=3", "ready=main"}));
  launch.ignored = {SIGINT};
  Reapctl reapctl(std::move(launch));
  roster.await_roles({"main"});
  reapctl.send(SIGINT);
  reapctl.send(SIGUSR1);
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 3);
  EXPECT_EQ(outcome.report["result"], "exit-code");
}

TEST(StopOn, NoneForwardsIntAndTermToo) {
  Roster roster;
  Reapctl reapctl(
      run_of({"--stop-on", "none"}, misbehave(roster, {"on=TERM:say=term", "on=INT:exit=4", "ready=main"})));
  roster.await_roles({"main"});
  reapctl.send(SIGTERM);
  EXPECT_EQ(roster.next().role, "term");
  reapctl.send(SIGINT);
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 4);
  EXPECT_EQ(outcome.report["result"], "exit-code");
}

TEST(StopOn, ListReplacesTheDefault) {
  Roster roster;
  Reapctl reapctl(
      run_of({"--stop-on", "USR1,HUP"}, misbehave(roster, {"on=TERM:say=term", "on=INT:exit=4", "ready=main"})));
  roster.await_roles({"main"});
  reapctl.send(SIGTERM);
  EXPECT_EQ(roster.next().role, "term");
  reapctl.send(SIGUSR1);
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 4);
  EXPECT_EQ(outcome.report["result"], "stopped");
  EXPECT_EQ(outcome.report["stop"]["signal_name"], "USR1");
}

TEST(StopOn, IntStopsToo) {
  Roster roster;
  Reapctl reapctl(run_of({}, misbehave(roster, {"on=INT:exit=4", "ready=main"})));
  roster.await_roles({"main"});
  reapctl.send(SIGINT);
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 4);
  EXPECT_EQ(outcome.report["stop"]["signal_name"], "INT");
}

/// reapctl as the grandchild of this process: its parent is a misbehave that a test can kill.
Launch below_a_parent(const Roster& roster, Args options, Args command) {
  Launch launch = run_of(std::move(options), std::move(command));
  launch.wrapper = misbehave(roster, {"fork", "[", "exec"});
  launch.args.insert(launch.args.end(), {"]", "ready=parent"});
  launch.leaves_processes = true;
  return launch;
}

TEST(DieWith, ParentKilledBySigkillStopsTheRun) {
  Roster roster;
  Reapctl parent(below_a_parent(
      roster, {"--die-with", "parent"},
      misbehave(roster, {"fork", "[", "setsid", "ready=child", "]", "on=INT:say=int", "on=INT:exit=0", "ready=main"})));
  const auto processes = roster.await_roles({"parent", "child", "main"});
  const pid_t reapctl = front_of(processes.at("main"));
  parent.send(SIGKILL);
  EXPECT_EQ(roster.next().role, "int") << "the ladder, not just the end";
  EXPECT_TRUE(await_end(reapctl));
  const Outcome outcome = parent.wait();
  EXPECT_EQ(outcome.killed_by(), SIGKILL);
  EXPECT_EQ(outcome.report["stop"]["cause"], "die-with");
  for (const auto& [role, process] : processes) EXPECT_FALSE(is_alive(process)) << role;
  EXPECT_LE(kill_leftovers({}).size(), 1U) << "at most the zombie of reapctl itself";
}

TEST(DieWith, PidOfAnyProcess) {
  Roster roster;
  Reapctl other({.args = {"run", "--report", "none", "--", misbehave_path(), "--ready", roster.path(), "ready=other"}});
  roster.await_roles({"other"});
  Reapctl reapctl(run_of({"--die-with", std::to_string(other.pid())}, misbehave(roster, {"ready=main"})));
  roster.await_roles({"main"});
  other.send(SIGTERM);
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 130);
  EXPECT_EQ(outcome.report["stop"]["cause"], "die-with");
  EXPECT_EQ(other.wait().code(), 130);
}

TEST(DieWith, AProcessThatIsGoneAlreadyMeansThatNothingStarts) {
  TempDir directory;
  // Above PID_MAX_LIMIT, proc(5).
  const Outcome outcome = run(run_of({"--die-with", "4194305"}, {"touch", directory / "started"}));
  EXPECT_EQ(outcome.code(), 125);
  EXPECT_TRUE(outcome.report.is_null()) << "a bad value, as any other";
  EXPECT_EQ(outcome.err, "reapctl: run: --die-with: no process has the pid 4194305\n");
  EXPECT_FALSE(std::filesystem::exists(directory / "started"));
}

TEST(DieWith, StdinThatLosesItsWriter) {
  Roster roster;
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  Launch launch = run_of({"--die-with", "stdin"}, misbehave(roster, {"ready=main"}));
  launch.stdin_fd = ends[0];
  Reapctl reapctl(std::move(launch));
  ::close(ends[0]);
  roster.await_roles({"main"});
  ::close(ends[1]);
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 130);
  EXPECT_EQ(outcome.report["stop"]["cause"], "die-with");
}

TEST(DieWith, StdinIsNotReadFrom) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  ASSERT_EQ(::write(ends[1], "one\ntwo\n", 8), 8);
  Launch launch = run_of({"--die-with", "stdin"}, sh("read a; read b; echo $a $b"));
  launch.stdin_fd = ends[0];
  const Outcome outcome = run(std::move(launch));
  ::close(ends[0]);
  ::close(ends[1]);
  EXPECT_EQ(outcome.out, "one two\n");
  EXPECT_EQ(outcome.code(), 0);
}

}  // namespace
}  // namespace reapctl::test
