#include "support/process.hpp"
#include "support/reapctl.hpp"

#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <sched.h>
#include <string>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

/// --quiet-on-success.
namespace reapctl::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

Launch quiet(Args options, Args command) {
  Launch launch = run_of(std::move(options), std::move(command));
  launch.args.insert(launch.args.begin() + 1, "-q");
  launch.with_report = false;
  return launch;
}

TEST(QuietOnSuccess, PrintsNothingAtAll) {
  const Outcome outcome = run(quiet({}, sh("echo out; echo err >&2; setsid sleep 100 &")));
  EXPECT_EQ(outcome.code(), 0);
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(outcome.err, "");
  const Outcome ok = run(quiet({"--ok-exit", "7", "--report", "stdout"}, sh("echo out; exit 7")));
  EXPECT_EQ(ok.code(), 0);
  EXPECT_EQ(ok.out + ok.err, "");
}

TEST(QuietOnSuccess, OnFailureTheSummaryComesFirstThenBothOutputsWithLabels) {
  Launch launch = quiet({"--name", "job"}, sh("echo one; echo two >&2; printf three; exit 3"));
  launch.wrapper = {"sh", "-c", "exec \"$@\" 2>&1", "sh"};
  const Outcome outcome = run(std::move(launch));
  EXPECT_EQ(outcome.code(), 3);
  EXPECT_THAT(outcome.out, StartsWith("reapctl: job ("));
  EXPECT_THAT(outcome.out, HasSubstr(" failed after "));
  EXPECT_THAT(outcome.out, HasSubstr(", exit 3\n--- stdout, 9 bytes ---\none\nthree\n--- stderr, 4 bytes ---\ntwo\n"));
}

TEST(QuietOnSuccess, EachOutputGoesWhereItWouldHaveGone) {
  const Outcome outcome = run(quiet({}, sh("echo one; echo two >&2; exit 3")));
  EXPECT_EQ(outcome.out, "one\n");
  EXPECT_THAT(outcome.err, HasSubstr("--- stderr, 4 bytes ---\ntwo\n"));
  const Outcome silent = run(quiet({}, sh("exit 3")));
  EXPECT_EQ(silent.out, "");
  EXPECT_EQ(silent.err.find("---"), std::string::npos) << "no label above nothing: " << silent.err;
}

TEST(QuietOnSuccess, AStopATimeoutAndWhatWasNotStartedAreFailures) {
  const Outcome late = run(quiet({"-t", "50ms"}, sh("echo out; trap 'exit 0' INT; sleep 100 & wait")));
  EXPECT_EQ(late.code(), 124);
  EXPECT_EQ(late.out, "out\n");
  EXPECT_THAT(late.err, HasSubstr("timed out"));

  Roster roster;
  Reapctl stopped(quiet({}, misbehave(roster, {"on=INT:exit=0", "on=TERM:exit=0", "ready=main"})));
  (void)roster.await_roles({"main"});
  stopped.send(SIGTERM);
  const Outcome stop = stopped.wait();
  EXPECT_EQ(stop.code(), 0);
  EXPECT_THAT(stop.err, HasSubstr("was stopped by TERM"));

  const Outcome absent = run(quiet({}, {"/nonexistent/program"}));
  EXPECT_EQ(absent.code(), 127);
  EXPECT_THAT(absent.err, HasSubstr("was not started"));
}

TEST(QuietOnSuccess, TheReportInAFileAndTheEventsAreAsUsual) {
  TempDir directory;
  for (const int code : {0, 4}) {
    Launch launch =
        run_of({"-q", "--events", directory / "events", "--tail", "3"}, sh("echo out; exit " + std::to_string(code)));
    const Outcome outcome = run(std::move(launch));
    EXPECT_EQ(outcome.report["exit_code"], code);
    EXPECT_EQ(outcome.report["output"]["stdout_tail"], "ut\n");
    EXPECT_EQ(outcome.report["output"]["stdout_bytes"], 4);
    EXPECT_EQ(outcome.report["output"]["truncated"], true);
    EXPECT_EQ(outcome.out, code == 0 ? "" : "out\n");
    EXPECT_THAT(read_file(directory / "events"), HasSubstr("\"event\":\"ended\""));
    EXPECT_THAT(outcome.err, Not(HasSubstr("schema_version")));
    fs::remove(directory / "events");
  }
}

TEST(QuietOnSuccess, TheOutputLiesInFilesWithoutANameAndLeavesNone) {
  TempDir directory;
  Launch launch = quiet({"--no-workdir"}, sh("readlink /proc/$$/fd/1 >&2; ls -A \"$TMPDIR\"; exit 1"));
  launch.env["TMPDIR"] = directory / ".";
  const Outcome outcome = run(std::move(launch));
  EXPECT_THAT(outcome.err, HasSubstr(directory.path().string()));
  EXPECT_THAT(outcome.err, HasSubstr("(deleted)"));
  EXPECT_EQ(outcome.out, "") << "while it ran";
  EXPECT_TRUE(fs::is_empty(directory.path()));
}

TEST(QuietOnSuccess, WorksWhereNoFileCanBeMade) {
  Launch launch = quiet({"--no-workdir"}, sh("echo out; exit 3"));
  launch.env["TMPDIR"] = "/proc/self";
  EXPECT_EQ(run(std::move(launch)).out, "out\n");
}

TEST(QuietOnSuccess, MuchOutputBlocksNobodyAndComesBackWhole) {
  constexpr std::size_t kMany = 20'000'000;
  const Outcome outcome = run(quiet({}, sh("head -c " + std::to_string(kMany) + " /dev/zero; exit 3")));
  EXPECT_EQ(outcome.out.size(), kMany);
  const Outcome silent = run(quiet({}, sh("head -c " + std::to_string(kMany) + " /dev/zero")));
  EXPECT_EQ(silent.out.size(), 0U);
}

TEST(QuietOnSuccess, WhoeverOfTheTwoIsLeftReplays) {
  for (const bool supervisor_dies : {true, false}) {
    Roster roster;
    Launch launch = quiet({"--ladder", "KILL"}, sh("echo out; echo err >&2; exec " + misbehave_path() + " --ready " +
                                                   roster.path() + " ready=main"));
    launch.leaves_processes = !supervisor_dies;  // a zombie, as its parent is gone
    Reapctl reapctl(std::move(launch));
    const Process main = roster.await_roles({"main"}).at("main");
    if (!supervisor_dies) {
      const pid_t supervisor = supervisor_of(main);
      send_signal(reapctl.pid(), SIGKILL);
      EXPECT_TRUE(await_end(supervisor));
      EXPECT_EQ(::waitpid(supervisor, nullptr, 0), supervisor);
      const Outcome outcome = reapctl.wait();
      EXPECT_EQ(outcome.out, "out\n");
      EXPECT_THAT(outcome.err, HasSubstr("lost its guard"));
      continue;
    }
    send_signal(supervisor_of(main), SIGKILL);
    const Outcome outcome = reapctl.wait();
    EXPECT_EQ(outcome.code(), 125);
    EXPECT_EQ(outcome.out, "out\n");
    EXPECT_THAT(outcome.err, HasSubstr("lost its supervisor"));
    EXPECT_THAT(outcome.err, HasSubstr("--- stderr, 4 bytes ---\nerr\n"));
  }
}

TEST(QuietOnSuccess, AReplayThatNobodyReadsIsGivenUpOnRequest) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  Launch launch = quiet({}, sh("head -c 1000000 /dev/zero; exit 3"));
  launch.stdout_fd = ends[1];
  Reapctl reapctl(std::move(launch));
  EXPECT_TRUE(await([&] { return reapctl.err_so_far().find("--- stdout") != std::string::npos; }));
  reapctl.send(SIGTERM);
  EXPECT_EQ(reapctl.wait().code(), 3);
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST(QuietOnSuccess, WhatTakesNothingDoesNotKeepTheOtherFromItsPart) {
  const int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
  ASSERT_GE(full, 0);
  Launch without_stdout = quiet({}, sh("echo out; echo err >&2; exit 3"));
  without_stdout.stdout_fd = full;
  const Outcome outcome = run(std::move(without_stdout));
  EXPECT_EQ(outcome.code(), 3);
  EXPECT_THAT(outcome.err, HasSubstr("--- stdout, 4 bytes ---\n"
                                     "reapctl: stdout is not shown: cannot write: No space left on device\n"
                                     "--- stderr, 4 bytes ---\nerr\n"));
  Launch without_stderr = quiet({}, sh("echo out; echo err >&2; exit 3"));
  without_stderr.stderr_fd = full;
  EXPECT_EQ(run(std::move(without_stderr)).out, "out\n");
  ::close(full);
}

TEST(QuietOnSuccess, AFullDiskIsSaidForTheCommandMayHaveBeenRefused) {
  if (::geteuid() != 0) GTEST_SKIP() << "a file system of its own takes root";
  TempDir directory;
  for (const std::string bytes : {"1000000", "1000"}) {
    Launch launch = quiet({"--no-workdir"}, sh("head -c " + bytes + " /dev/zero; exit 3"));
    launch.env["TMPDIR"] = directory / ".";
    launch.before_exec = [place = directory / "."] {
      if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
          ::mount("none", place.c_str(), "tmpfs", 0, "size=64k") != 0) {
        ::_exit(99);
      }
    };
    const Outcome outcome = run(std::move(launch));
    EXPECT_EQ(outcome.code(), 3) << "99: no mount namespace can be made here";
    const auto said = testing::HasSubstr("the output may be cut short: no space is left where it is held");
    if (bytes == "1000") {
      EXPECT_THAT(outcome.err, Not(said));
    } else {
      EXPECT_EQ(outcome.out.size(), 65536U);
      EXPECT_THAT(outcome.err, said);
    }
  }
}

TEST(QuietOnSuccess, WhoOpensItAnewToAppendOverwritesNobody) {
  const Outcome outcome = run(quiet({}, sh("echo one; echo two >>/dev/stdout; echo three; exit 3")));
  EXPECT_EQ(outcome.out, "one\ntwo\nthree\n");
}

TEST(QuietOnSuccess, AReplayThatIsCutShortIsFinishedByTheOtherProcess) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  Launch launch = quiet({}, sh("seq 1 200000; echo err >&2; exit 3"));
  launch.stdout_fd = ends[1];
  Reapctl reapctl(std::move(launch));
  ::close(ends[1]);
  int held = 0;  // the pipe is full: as far as the supervisor comes
  EXPECT_TRUE(await([&] { return ::ioctl(ends[0], FIONREAD, &held) == 0 && held == 65536; }));
  const auto supervisor = children_of(reapctl.pid());
  ASSERT_EQ(supervisor.size(), 1U);
  send_signal(supervisor.front(), SIGKILL);
  std::string text;
  char bytes[65536];
  for (ssize_t count = 0; (count = ::read(ends[0], bytes, sizeof bytes)) > 0;) {
    text.append(bytes, static_cast<std::size_t>(count));
  }
  ::close(ends[0]);
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 3) << "the run was over";
  std::string expected;
  for (int number = 1; number <= 200000; ++number) expected += std::to_string(number) + "\n";
  EXPECT_EQ(text == expected, true) << "each byte once: " << text.size() << " of " << expected.size();
  EXPECT_THAT(outcome.err, HasSubstr("--- stderr, 4 bytes ---\nerr\n"));
  EXPECT_EQ(outcome.err.find("reapctl: "), outcome.err.rfind("reapctl: ")) << "one summary: " << outcome.err;
}

TEST(QuietOnSuccess, ASkippedRunIsNoFailureAndOneThatFailedForTheLockIs) {
  TempDir directory;
  Roster roster;
  Launch holding = run_of({"--lock", "x"}, misbehave(roster, {"ready=main"}));
  holding.env["REAPCTL_REGISTRY"] = directory / "registry";
  Reapctl holder(std::move(holding));
  (void)roster.await_roles({"main"});
  for (const auto* policy : {"skip", "fail"}) {
    Launch launch = quiet({"--lock", "x", "--on-overlap", policy}, {"echo", "ran"});
    launch.env["REAPCTL_REGISTRY"] = directory / "registry";
    launch.leaves_processes = true;
    const Outcome outcome = run(std::move(launch));
    if (policy == std::string("skip")) {
      EXPECT_EQ(outcome.out + outcome.err, "");
    } else {
      EXPECT_THAT(outcome.err, HasSubstr("lock \"x\" is held by run"));
    }
  }
  holder.send(SIGTERM);
  (void)holder.wait();
}

}  // namespace
}  // namespace reapctl::test
