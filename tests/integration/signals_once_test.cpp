#include "support/namespace.hpp"
#include "support/process.hpp"
#include "support/reapctl.hpp"
#include "support/strace.hpp"

#include <csignal>
#include <fcntl.h>
#include <sched.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

/// A signal counts once, however it comes: to one process, to a group, to a control group. Facts 12 and 28, and what
/// has happened already when --die-with is asked for it, and the life of PID 1.
namespace reapctl::test {
namespace {

class Once : public testing::Test {
 protected:
  /// A run whose command says what it hears; SIGTERM to its reapctl must not go on to the second rung.
  static Launch launch(const Roster& roster, Args options = {}) {
    options.insert(options.end(), {"--ladder", "INT:1h,QUIT:1h,KILL"});
    return run_of(std::move(options), misbehave(roster, {"on=INT:say=int", "on=QUIT:say=quit", "on=USR1:say=usr1",
                                                         "on=USR2:say=usr2", "on=HUP:exit=3", "ready=main"}));
  }

  /// Nothing more comes: what is sent last is heard next.
  static void expect_silence(Roster& roster, const Process& main) {
    send_signal(main.pid, SIGUSR2);
    EXPECT_EQ(roster.next().role, "usr2");
  }

  static void expect_one_request(Reapctl& reapctl, Roster& roster, const Process& main) {
    EXPECT_EQ(roster.next().role, "int");
    expect_silence(roster, main);
    send_signal(main.pid, SIGHUP);
    const Outcome outcome = reapctl.wait();
    EXPECT_EQ(outcome.report["stop"]["rungs"].size(), 1U) << outcome.report_text;
    EXPECT_EQ(outcome.report["stop"]["signal_name"], "TERM");
    EXPECT_EQ(outcome.code(), 3);
  }
};

TEST_F(Once, ToReapctlAlone) {
  Roster roster;
  Reapctl reapctl(launch(roster));
  const Process main = roster.next();
  reapctl.send(SIGTERM);
  expect_one_request(reapctl, roster, main);
}

TEST_F(Once, ToBothReapctlProcesses) {
  Roster roster;
  Reapctl reapctl(launch(roster));
  const Process main = roster.next();
  send_signal(supervisor_of(main), SIGTERM);
  reapctl.send(SIGTERM);
  send_signal(supervisor_of(main), SIGTERM);
  expect_one_request(reapctl, roster, main);
}

TEST_F(Once, ToEverybodyAsAControlGroupDoes) {
  Roster roster;
  Launch how = launch(roster);
  Reapctl reapctl(std::move(how));
  const Process main = roster.next();
  for (const pid_t pid : {supervisor_of(main), reapctl.pid(), main.pid}) send_signal(pid, SIGUSR1);
  // Its own copy and that of the guard, not a third from the supervisor; the two may become one in between, signal(7).
  EXPECT_EQ(roster.next().role, "usr1");
  const std::string status = "/proc/" + std::to_string(reapctl.pid()) + "/status";
  const std::string status_of_supervisor = "/proc/" + std::to_string(supervisor_of(main)) + "/status";
  EXPECT_TRUE(await([&] {
    const auto pending = [](const std::string& path) { return signal_mask(read_file(path), "ShdPnd"); };
    return pending(status) == 0 && pending(status_of_supervisor) == 0;
  }));
  reapctl.send(SIGTERM);
  std::size_t copies = 1;
  for (Process said = roster.next(); said.role != "int" && said.pid != 0; said = roster.next()) {
    EXPECT_EQ(said.role, "usr1");
    ++copies;
  }
  EXPECT_LE(copies, 2U);
  send_signal(main.pid, SIGHUP);
  EXPECT_EQ(reapctl.wait().report["stop"]["rungs"].size(), 1U);
}

TEST_F(Once, ToTheGroupOfReapctl) {
  Roster roster;
  Reapctl reapctl(launch(roster));
  const Process main = roster.next();
  ASSERT_EQ(::kill(-reapctl.pid(), SIGTERM), 0);
  expect_one_request(reapctl, roster, main);
}

TEST_F(Once, ByKillZeroOfAProcessInTheGroup) {
  Roster roster;
  Gate gate;
  Gate end;
  Launch how = launch(roster);
  how.wrapper = misbehave(roster, {"fork", "[", "exec"});
  how.args.insert(how.args.end(),
                  {"]", "ignore=TERM", "await=" + gate.path(), "kill-group=TERM", "await=" + end.path(), "exit=0"});
  how.leaves_processes = true;
  Reapctl parent(std::move(how));
  const Process main = roster.next();
  const pid_t reapctl = front_of(main);
  gate.open();
  EXPECT_EQ(roster.next().role, "int");
  expect_silence(roster, main);
  send_signal(main.pid, SIGHUP);
  EXPECT_TRUE(await_end(reapctl));
  end.open();
  const Outcome outcome = parent.wait();
  EXPECT_EQ(outcome.report["stop"]["rungs"].size(), 1U) << outcome.report_text;
  (void)kill_leftovers({});
}

TEST(Fact28, KillpgByTheParentLeavesNothing) {
  // As the Python MCP SDK does: start_new_session, later os.killpg(pid, SIGKILL).
  Roster roster;
  Launch launch = run_of({}, misbehave(roster, {"fork", "[", "ready=child", "]", "ready=main"}));
  launch.leaves_processes = true;
  Reapctl reapctl(std::move(launch));
  const auto processes = roster.await_roles({"child", "main"});
  const pid_t supervisor = supervisor_of(processes.at("main"));
  EXPECT_NE(read_stat(supervisor).value_or(ProcStat{}).pgid, read_stat(reapctl.pid()).value_or(ProcStat{}).pgid);
  ASSERT_EQ(::kill(-reapctl.pid(), SIGKILL), 0);
  EXPECT_TRUE(await_end(supervisor));
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.killed_by(), SIGKILL);
  EXPECT_EQ(outcome.report["result"], "guard-died");
  for (const auto& [role, process] : processes) EXPECT_FALSE(is_alive(process)) << role;
  EXPECT_LE(kill_leftovers({}).size(), 1U) << "at most the zombie of the supervisor";
}

TEST(Fact12, TheGroupIsNotSignalledOnceItsLeaderIsReaped) {
  Roster roster;
  Gate gate;
  Reapctl reapctl(
      run_of({"--forward-to", "group", "--leftovers", "wait"},
             misbehave(roster, {"fork", "[", "on=USR1:say=usr1", "on=USR2:say=usr2", "on=HUP:exit=0", "ready=member",
                                "]", "on=USR2:say=main", "ready=main", "await=" + gate.path(), "exit=5"})));
  const auto processes = roster.await_roles({"member", "main"});
  reapctl.send(SIGUSR2);
  roster.await_roles({"usr2", "main"});  // as long as there is a leader
  gate.open();
  EXPECT_TRUE(await([&] { return !read_stat(processes.at("main").pid).has_value(); }));
  reapctl.send(SIGUSR1);
  const std::string status = "/proc/" + std::to_string(reapctl.pid()) + "/status";
  EXPECT_TRUE(await([&] { return signal_mask(read_file(status), "ShdPnd") == 0; }));
  // The next one is behind it in the same queue; when it has stopped the run, the first had its chance.
  reapctl.send(SIGTERM);
  EXPECT_EQ(reapctl.wait().code(), 5);
  for (const Process& said : roster.take_all()) EXPECT_NE(said.role, "usr1") << "the number is no longer its group's";
}

TEST(DieWithBefore, AProcessThatHasEndedButIsNotReaped) {
  Roster roster;
  const pid_t ended = ::fork();
  ASSERT_GE(ended, 0);
  if (ended == 0) ::_exit(0);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(ended), &info, WEXITED | WNOWAIT), 0);
  Launch launch = run_of({"--die-with", std::to_string(ended)}, misbehave(roster, {"ready=main"}));
  launch.leaves_processes = true;
  const Outcome outcome = run(std::move(launch));
  EXPECT_NE(outcome.code(), 0);
  EXPECT_EQ(outcome.report["stop"]["cause"], "die-with");
  EXPECT_EQ(kill_leftovers({}).size(), 1U) << "that zombie";
}

TEST(DieWithBefore, AParentThatEndedBeforeItCouldBeAskedFor) {
  Roster roster;
  int told[2];
  ASSERT_EQ(::pipe2(told, O_CLOEXEC), 0);
  Launch launch = run_of({"--die-with", "parent"}, misbehave(roster, {"ready=main"}));
  launch.leaves_processes = true;
  launch.before_exec = [&told] {
    const pid_t parent = ::getpid();
    const pid_t child = ::fork();
    if (child != 0) {
      (void)!::write(told[1], &child, sizeof child);
      ::_exit(0);
    }
    while (::getppid() == parent) ::sched_yield();
  };
  Reapctl parent(std::move(launch));
  pid_t reapctl = -1;
  ASSERT_EQ(::read(told[0], &reapctl, sizeof reapctl), static_cast<ssize_t>(sizeof reapctl));
  ::close(told[0]);
  ::close(told[1]);
  EXPECT_TRUE(await_end(reapctl));
  const Outcome outcome = parent.wait();
  EXPECT_EQ(outcome.report["exit"]["stage"], "die-with") << outcome.report_text << outcome.err;
  EXPECT_TRUE(roster.take_all().empty()) << "the command was started";
  EXPECT_LE(kill_leftovers({}).size(), 1U) << "at most the zombie of reapctl itself";
}

TEST(DieWithBefore, AWriterThatHasClosedItsEnd) {
  Roster roster;
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  ::close(ends[1]);
  Launch launch = run_of({"--die-with", "stdin"}, misbehave(roster, {"ready=main"}));
  launch.stdin_fd = ends[0];
  const Outcome outcome = run(std::move(launch));
  ::close(ends[0]);
  EXPECT_NE(outcome.code(), 0);
  EXPECT_EQ(outcome.report["stop"]["cause"], "die-with");
}

TEST(DieWithBefore, AProcessThatDiesAtAnyInstantOfTheStart) {
  Roster roster;
  for (long delay_us = 0; delay_us < 6000; delay_us += 300) {
    const pid_t other = ::fork();
    ASSERT_GE(other, 0);
    if (other == 0) {
      for (;;) ::pause();
    }
    Reapctl reapctl(run_of({"--die-with", std::to_string(other)}, misbehave(roster, {"ready=main"})));
    const timespec delay{.tv_sec = 0, .tv_nsec = delay_us * 1000};  // not to synchronise: to hit many instants
    ::nanosleep(&delay, nullptr);
    ::kill(other, SIGKILL);
    (void)::waitpid(other, nullptr, 0);
    const Outcome outcome = reapctl.wait();
    EXPECT_NE(outcome.code(), 0);
    if (HasFailure()) break;
  }
}

TEST(Pid1, HearsASignalBeforeTheCommandIsThere) {
  REQUIRE_PID_NAMESPACE();
  REQUIRE_STRACE();
  TempDir directory;
  Roster roster;
  Launch launch = run_of({}, misbehave(roster, {"ready=main"}));
  // getsid is the first thing of a run that neither unshare nor the shell calls.
  launch.wrapper = strace("/dev/null", {"-f", "-e", "inject=getsid:signal=SIGTERM:when=1"});
  for (const std::string& word : pid_namespace()) launch.wrapper.push_back(word);
  const Outcome outcome = run(std::move(launch));
  EXPECT_NE(outcome.code(), 0);
  EXPECT_EQ(outcome.report["result"], "stopped") << outcome.report_text << outcome.err;
}

TEST(Pid1, HasNoGuardAndPassesOn128PlusN) {
  REQUIRE_PID_NAMESPACE();
  Launch launch = run_of({}, misbehave({"kill-self=USR1"}));
  launch.wrapper = pid_namespace();
  const Outcome outcome = run(std::move(launch));
  EXPECT_EQ(outcome.code(), 128 + SIGUSR1);
  EXPECT_EQ(outcome.report["containment"]["guard"], false);
  EXPECT_EQ(outcome.report["main"]["pid"], 2) << "nobody between the two";
}

}  // namespace
}  // namespace reapctl::test
