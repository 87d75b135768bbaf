#include "support/namespace.hpp"
#include "support/process.hpp"
#include "support/reapctl.hpp"
#include "support/strace.hpp"

#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <sys/resource.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

/// Facts 1 to 10 of linux-facts: starting. Fact 6 has a file of its own.
namespace reapctl::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

std::uint64_t bits(std::initializer_list<int> signals) {
  std::uint64_t mask = 0;
  for (const int number : signals) mask |= 1ULL << (number - 1);
  return mask;
}

/// The process that is the command's parent.
pid_t supervisor_of(const Process& main) {
  return read_stat(main.pid).value_or(ProcStat{}).ppid;
}

TEST(Fact01, SignalsAreBlockedBeforeAnythingElse) {
  REQUIRE_STRACE();
  TempDir directory;
  Launch launch = run_of({}, {"true"});
  launch.wrapper = strace(directory / "trace", {"-e",
                                                "trace=rt_sigprocmask,prctl,epoll_create1,signalfd4,"
                                                "timerfd_create,pidfd_open,clone,clone3,vfork,mkdir,mkdirat"});
  EXPECT_EQ(run(std::move(launch)).code(), 0);
  std::istringstream trace(read_file(directory / "trace"));
  std::string first;
  std::getline(trace, first);
  EXPECT_THAT(first, HasSubstr("rt_sigprocmask(SIG_"));
  EXPECT_THAT(first, testing::AnyOf(HasSubstr("TERM"), HasSubstr("~[")));
}

TEST(Fact01, AsPid1SigtermStopsTheRun) {
  REQUIRE_PID_NAMESPACE();
  Roster roster;
  Launch launch = run_of({}, misbehave(roster, {"fork", "[", "setsid", "ignore=INT,TERM", "ready=straggler", "]",
                                                "on=INT:exit=7", "ready=main"}));
  launch.args.insert(launch.args.begin() + 1, {"--ladder", "INT:100ms,KILL"});
  launch.wrapper = pid_namespace();
  Reapctl reapctl(std::move(launch));
  roster.await_roles({"main", "straggler"});
  const std::vector<pid_t> inside = children_of(reapctl.pid());
  ASSERT_EQ(inside.size(), 1U);
  send_signal(inside[0], SIGTERM);
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 7);
  EXPECT_EQ(outcome.report["result"], "stopped");
}

TEST(Fact01, AsPid1DeathBySigintIsStill130) {
  // PID 1 cannot die of SIGINT as its command did.
  REQUIRE_PID_NAMESPACE();
  Launch launch = run_of({}, misbehave({"kill-self=INT"}));
  launch.wrapper = pid_namespace();
  EXPECT_EQ(run(std::move(launch)).code(), 130);
}

TEST(Fact02, TheCommandSeesTheCallersMaskAndIgnoredSignals) {
  Launch launch = run_of({}, {"cat", "/proc/self/status"});
  launch.ignored = {SIGHUP, SIGUSR2, SIGPIPE};
  launch.blocked = {SIGUSR1, SIGTERM, SIGRTMIN + 2};
  const Outcome outcome = run(std::move(launch));
  EXPECT_EQ(signal_mask(outcome.out, "SigIgn"), bits({SIGHUP, SIGUSR2, SIGPIPE}));
  EXPECT_EQ(signal_mask(outcome.out, "SigBlk"), bits({SIGUSR1, SIGTERM, SIGRTMIN + 2}));
}

TEST(Fact02, WithoutAnyTheCommandHasNoneEither) {
  const Outcome outcome = run(run_of({}, {"cat", "/proc/self/status"}));
  EXPECT_EQ(signal_mask(outcome.out, "SigIgn"), 0U);
  EXPECT_EQ(signal_mask(outcome.out, "SigBlk"), 0U);
}

TEST(Fact02, SigtermBlockedByTheCallerStillStopsTheRun) {
  Roster roster;
  Launch launch = run_of({}, misbehave(roster, {"ready=main"}));
  launch.blocked = {SIGTERM};
  Reapctl reapctl(std::move(launch));
  roster.await_roles({"main"});
  reapctl.send(SIGTERM);
  EXPECT_EQ(reapctl.wait().code(), 130);
}

TEST(Fact03, SigchldInheritedAsIgnoredStillReaps) {
  Launch launch = run_of({}, sh("sh -c 'exit 3' & exit 7"));
  launch.ignored = {SIGCHLD};
  EXPECT_EQ(run(std::move(launch)).code(), 7);
}

TEST(Fact03, TheCommandGetsSigchldAsTheCallerHadIt) {
  Launch launch = run_of({}, {"cat", "/proc/self/status"});
  launch.ignored = {SIGCHLD};
  EXPECT_EQ(signal_mask(run(std::move(launch)).out, "SigIgn"), bits({SIGCHLD}));
}

TEST(Fact04, AChildThatWasThereBeforeIsNotTheMainCommand) {
  Roster roster;
  Gate early;
  Gate late;
  Launch launch = run_of({}, misbehave(roster, {"ready=main", "await=" + late.path(), "exit=5"}));
  launch.wrapper = misbehave(roster, {"fork", "[", "ready=before", "await=" + early.path(), "exit=9", "]", "exec"});
  Reapctl reapctl(std::move(launch));
  const auto processes = roster.await_roles({"before", "main"});
  early.open();
  EXPECT_TRUE(await([&] { return !is_alive(processes.at("before")); }));
  late.open();
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 5);
  EXPECT_EQ(outcome.report["main"]["pid"], processes.at("main").pid);
}

TEST(Fact04, AChildThatWasThereBeforeIsNobodysVictim) {
  Roster roster;
  Launch launch = run_of({}, {"true"});
  launch.wrapper = misbehave(roster, {"fork", "[", "ready=before", "]", "exec"});
  launch.leaves_processes = true;
  Reapctl reapctl(std::move(launch));
  const auto processes = roster.await_roles({"before"});
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 0);
  EXPECT_TRUE(is_alive(processes.at("before")));
  EXPECT_TRUE(outcome.report["tree"]["leftovers"].empty());
  EXPECT_EQ(kill_leftovers({}).size(), 1U);
}

class Fact05 : public testing::TestWithParam<std::vector<int>> {};

TEST_P(Fact05, WhatIsOpenedLandsOnNoStandardDescriptor) {
  Roster roster;
  TempDir directory;
  Launch launch = run_of({"--events", directory / "events"}, misbehave(roster, {"say-fds", "exit=6"}));
  launch.closed = GetParam();
  Reapctl reapctl(std::move(launch));
  const Process command = roster.next();
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 6);
  EXPECT_EQ(outcome.report["exit_code"], 6);
  std::string open;
  for (const int fd : {0, 1, 2}) {
    if (std::count(GetParam().begin(), GetParam().end(), fd) == 0)
      open += (open.empty() ? "" : ",") + std::to_string(fd);
  }
  EXPECT_EQ(command.role, "fds:" + open);
}

INSTANTIATE_TEST_SUITE_P(Closed, Fact05,
                         testing::Values(std::vector<int>{}, std::vector<int>{0}, std::vector<int>{1},
                                         std::vector<int>{2}, std::vector<int>{0, 1, 2}));

class Fact05Report : public testing::TestWithParam<const char*> {};

TEST_P(Fact05Report, ToAPipeNobodyReadsKillsNobody) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  ::close(ends[0]);
  const Outcome outcome = run({.args = {"run", "--report", GetParam(), "--", "sh", "-c", "exit 3"},
                               .stdout_fd = ends[1],
                               .stderr_fd = ends[1]});
  ::close(ends[1]);
  EXPECT_EQ(outcome.code(), 3);
}

INSTANTIATE_TEST_SUITE_P(Broken, Fact05Report, testing::Values("stderr", "stdout", "fd:2"));

TEST(Fact05, UsageErrorWithoutAnyDescriptorIsStill125) {
  EXPECT_EQ(run({.args = {"run", "--nonsense"}, .closed = {0, 1, 2}}).code(), 125);
}

class Fact07 : public testing::TestWithParam<const char*> {};

TEST_P(Fact07, ForkCanFail) {
  REQUIRE_STRACE();
  TempDir directory;
  fs::create_directory(directory / "base");
  Launch launch = run_of({"--workdir-base", directory / "base"}, {"true"});
  const std::string error = GetParam();
  launch.wrapper = strace(directory / "trace", {"-e", "inject=clone,clone3,fork,vfork:error=" + error + ":when=1"});
  const Outcome outcome = run(std::move(launch));
  EXPECT_EQ(outcome.code(), 125);
  EXPECT_THAT(outcome.err, HasSubstr(std::strerror(error == "EAGAIN" ? EAGAIN : ENOMEM)));
  EXPECT_EQ(outcome.report["result"], "not-started");
  EXPECT_EQ(outcome.report["exit"]["kind"], "not-started");
  EXPECT_EQ(outcome.report["exit"]["stage"], "fork");
  EXPECT_EQ(outcome.report["exit"]["errno_name"], error);
  EXPECT_TRUE(outcome.report["main"].is_null());
  EXPECT_TRUE(fs::is_empty(directory / "base"));
}

INSTANTIATE_TEST_SUITE_P(Errors, Fact07, testing::Values("EAGAIN", "ENOMEM"));

TEST(Fact07, WhenNoThreadCanBeMadeEitherTheDirectoryGoesAllTheSame) {
  REQUIRE_STRACE();
  TempDir directory;
  fs::create_directory(directory / "base");
  Launch launch = run_of({"--workdir-base", directory / "base"}, {"true"});
  launch.wrapper = strace(directory / "trace", {"-e", "inject=clone,clone3,fork,vfork:error=EAGAIN"});
  const Outcome outcome = run(std::move(launch));
  EXPECT_EQ(outcome.code(), 125);
  EXPECT_TRUE(fs::is_empty(directory / "base"));
}

TEST(Fact08, ASignalRightBehindTheForkReachesTheLadderAndNobodyElse) {
  REQUIRE_STRACE();
  Roster roster;
  TempDir directory;
  Gate gate;
  // A process that never gets to reapctl, its last argument. It leads the group that the other reapctl joins: a
  // kill(0, …) would hit it.
  Reapctl bystander({.wrapper = misbehave(roster, {"ready=bystander", "await=" + gate.path(), "exit=0"}),
                     .own_session = false,
                     .before_exec = [] { ::setpgid(0, 0); }});
  roster.await_roles({"bystander"});
  Launch launch = run_of({}, misbehave(roster, {"ready=main"}));
  launch.wrapper = strace(directory / "trace", {"-e", "inject=clone,clone3,fork,vfork:signal=TERM:when=1"});
  launch.own_session = false;
  launch.before_exec = [group = bystander.pid()] { ::setpgid(0, group); };
  const Outcome outcome = run(std::move(launch));
  EXPECT_NE(outcome.code(), 0);
  EXPECT_EQ(outcome.report["result"], "stopped");
  for (const Process& process : roster.take_all()) EXPECT_FALSE(is_alive(process)) << process.role;
  gate.open();
  EXPECT_EQ(bystander.wait().code(), 0) << "untouched";
}

TEST(Fact09, TheDeathOfTheParentsThreadIsNotTheDeathOfTheParent) {
  Roster roster;
  Gate gate;
  Gate end;
  // A thread of the parent starts reapctl and ends; the process lives on until `end`.
  Launch launch =
      run_of({"--die-with", "parent"},
             misbehave(roster, {"on=USR1:say=heard", "on=INT:say=stopping", "on=INT:exit=0", "ready=main"}));
  launch.wrapper = misbehave(roster, {"ready=parent", "thread-fork-until=" + gate.path(), "[", "exec"});
  launch.args.insert(launch.args.end(), {"]", "await=" + end.path(), "exit=0"});
  launch.leaves_processes = true;
  Reapctl reapctl(std::move(launch));
  const auto processes = roster.await_roles({"parent", "main"});
  const pid_t supervisor = supervisor_of(processes.at("main"));
  const auto threads = [&] { return read_stat(processes.at("parent").pid).value_or(ProcStat{}).threads; };
  EXPECT_EQ(threads(), 2);
  gate.open();
  EXPECT_TRUE(await([&] { return threads() == 1; }));
  // Whatever the thread's death had set off was there before this signal.
  send_signal(supervisor, SIGUSR1);
  EXPECT_EQ(roster.next().role, "heard");
  end.open();
  EXPECT_EQ(reapctl.wait().code(), 0) << "the parent's own exit status";
  EXPECT_EQ(roster.next().role, "stopping");
  EXPECT_TRUE(await_end(supervisor));
  EXPECT_FALSE(is_alive(processes.at("main")));
  (void)kill_leftovers({});
}

TEST(Fact10, DoesNotPinTheDirectoryItWasStartedIn) {
  Roster roster;
  TempDir directory;
  Launch launch = run_of({"--events", "events"}, misbehave(roster, {"ready=main"}));
  launch.cwd = directory.path();
  Reapctl reapctl(std::move(launch));
  const Process main = roster.next();
  const std::string supervisor = "/proc/" + std::to_string(supervisor_of(main));
  EXPECT_TRUE(await([&] { return fs::read_symlink(supervisor + "/cwd") == "/"; }))
      << fs::read_symlink(supervisor + "/cwd");
  EXPECT_EQ(fs::read_symlink("/proc/" + std::to_string(main.pid) + "/cwd"), fs::canonical(directory.path()));
  reapctl.send(SIGTERM);
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.report["command"]["cwd"], fs::canonical(directory.path()).string());
  EXPECT_TRUE(fs::exists(directory / "events")) << "a relative path means where reapctl was started";
}

}  // namespace
}  // namespace reapctl::test
