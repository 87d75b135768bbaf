#include "support/process.hpp"
#include "support/reapctl.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

/// --tail: what the command writes is passed on unchanged, and the end of it is in the report.
namespace reapctl::test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

struct Ends {
  Ends() { EXPECT_EQ(::pipe2(&reader, O_CLOEXEC), 0); }
  ~Ends() {
    close_reader();
    close_writer();
  }
  void close_reader() {
    if (reader >= 0) ::close(reader);
    reader = -1;
  }
  void close_writer() {
    if (writer >= 0) ::close(writer);
    writer = -1;
  }
  [[nodiscard]] std::string drain() const {
    std::string text;
    char bytes[65536];
    for (ssize_t count = 0; (count = ::read(reader, bytes, sizeof bytes)) > 0;) {
      text.append(bytes, static_cast<std::size_t>(count));
    }
    return text;
  }
  int reader = -1;
  int writer = -1;
};

std::string numbers(int last) {
  std::string text;
  for (int number = 1; number <= last; ++number) text += std::to_string(number) + "\n";
  return text;
}

TEST(Tail, PassesEverythingOnAndKeepsTheEnd) {
  const Outcome outcome = run(run_of({"--tail", "8"}, sh("seq 1 200000; echo short >&2")));
  EXPECT_EQ(outcome.code(), 0);
  EXPECT_EQ(outcome.out, numbers(200000));
  EXPECT_EQ(outcome.err, "short\n");
  EXPECT_EQ(outcome.report["output"]["stdout_tail"], "\n200000\n");
  EXPECT_EQ(outcome.report["output"]["stdout_bytes"], outcome.out.size());
  EXPECT_EQ(outcome.report["output"]["stderr_tail"], "short\n");
  EXPECT_EQ(outcome.report["output"]["stderr_bytes"], 6);
  EXPECT_EQ(outcome.report["output"]["truncated"], true);
  EXPECT_THAT(outcome.report["warnings"], IsEmpty());
}

TEST(Tail, WithoutItThereIsNoOutputInTheReport) {
  EXPECT_TRUE(run(run_of({}, {"echo"})).report["output"].is_null());
  EXPECT_TRUE(run(run_of({"--tail", "0"}, {"echo"})).report["output"].is_null());
}

TEST(Tail, WhatIsNotTextIsReplacedInTheReportAndPassedOnAsItIs) {
  const Outcome outcome = run(run_of({"--tail", "1k"}, sh("printf 'a\\377\\000b'")));
  EXPECT_EQ(outcome.out, std::string("a\xff\0b", 4));
  EXPECT_EQ(outcome.report["output"]["stdout_bytes"], 4);
  EXPECT_EQ(outcome.report["output"]["truncated"], false);
}

TEST(Tail, IsUnbuffered) {
  Ends out;
  Gate gate;
  Launch launch =
      run_of({"--tail", "1k"}, sh("printf prompt; exec " + misbehave_path() + " await=" + gate.path() + " exit=0"));
  launch.stdout_fd = out.writer;
  Reapctl reapctl(std::move(launch));
  char bytes[16];
  EXPECT_EQ(::read(out.reader, bytes, sizeof bytes), 6) << "while the command is still there";
  gate.open();
  EXPECT_EQ(reapctl.wait().code(), 0);
}

TEST(Tail, TheCommandSeesAPipe) {
  EXPECT_EQ(run(run_of({"--tail", "1k"}, sh("test -p /dev/stdout && test -p /dev/stderr && echo pipes"))).out,
            "pipes\n");
}

TEST(Tail, ASlowReaderHoldsUpNeitherTheCommandNorLosesAnything) {
  Ends out;
  Roster roster;
  Launch launch = run_of({"--tail", "8"}, sh("seq 1 500000; exec " + misbehave_path() + " --ready " + roster.path() +
                                             " ready=written exit=0"));
  launch.stdout_fd = out.writer;
  Reapctl reapctl(std::move(launch));
  out.close_writer();
  (void)roster.await_roles({"written"});  // all of it, and nothing has been read yet
  EXPECT_EQ(out.drain(), numbers(500000));
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 0);
  EXPECT_THAT(outcome.report["warnings"], IsEmpty());
}

/// The largest of what `size` tells in many looks after it has come to `least`.
template <class Size>
std::int64_t largest(const Size& size, std::int64_t least) {
  std::int64_t seen = 0;
  int looks = 0;
  EXPECT_TRUE(await([&] {
    seen = std::max(seen, size());
    return seen >= least && ++looks > 100;
  }));
  return seen;
}

std::int64_t spool_of(const Reapctl& reapctl) {
  std::int64_t size = 0;
  std::error_code gone;
  for (const auto& fd : std::filesystem::directory_iterator("/proc/" + std::to_string(reapctl.pid()) + "/fd", gone)) {
    struct stat status {};
    if (::stat(fd.path().c_str(), &status) == 0 && S_ISREG(status.st_mode)) size += status.st_size;
  }
  return size;
}

std::int64_t memory_of(const Reapctl& reapctl) {
  const std::string text = read_file("/proc/" + std::to_string(reapctl.pid()) + "/statm");  // all, resident, …; proc(5)
  return std::atoll(text.c_str() + text.find(' ')) * ::sysconf(_SC_PAGESIZE);
}

TEST(Tail, ACommandIsOnlySoFarAheadOfAReaderWhoNeverReads) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer's memory would be measured";
#endif
  constexpr std::int64_t kSpool = 64 << 20;
  constexpr std::int64_t kMemory = 32 << 20;
  for (const bool with_spool : {true, false}) {
    Ends out;
    Launch launch = run_of({"--no-guard", "--no-workdir", "--tail", "8"}, {"yes"});
    launch.stdout_fd = out.writer;
    if (!with_spool) launch.env["TMPDIR"] = "/proc/self";
    Reapctl reapctl(std::move(launch));
    if (with_spool) {
      EXPECT_LT(largest([&] { return spool_of(reapctl); }, kSpool), kSpool + (1 << 20));
    }
    EXPECT_LT(largest([&] { return memory_of(reapctl); }, 1), kMemory);
    reapctl.send(SIGTERM);
    out.close_reader();
    EXPECT_EQ(reapctl.wait().report["result"], "stopped");
  }
}

TEST(Tail, WhatIsStillInThePipeWhenTheCommandEndsIsNotLost) {
  constexpr std::size_t kMany = 1 << 20;
  Roster roster;
  Gate gate;
  const std::string python =
      "import fcntl, os; fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 1 << 20); os.write(1, b'x' * (1 << 20))";
  Reapctl reapctl(run_of({"--no-guard", "--tail", "8"},
                         sh(misbehave_path() + " --ready " + roster.path() + " ready=main await=" + gate.path() +
                            " exit=0; exec python3 -c \"" + python + "\"")));
  (void)roster.await_roles({"main"});
  const auto command = children_of(reapctl.pid());
  ASSERT_EQ(command.size(), 1U);
  reapctl.send(SIGSTOP);
  gate.open();
  EXPECT_TRUE(await([&] { return read_stat(command.front()).value_or(ProcStat{}).state == 'Z'; }));
  reapctl.send(SIGCONT);
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 0) << outcome.err;
  EXPECT_EQ(outcome.out.size(), kMany);
  EXPECT_EQ(outcome.report["output"]["stdout_bytes"], kMany);
}

TEST(Tail, WhatTheCallerHasOpenStaysAsItIs) {
  Ends out;
  Launch launch = run_of({"--tail", "8"}, {"echo", "ran"});
  launch.stdout_fd = out.writer;
  EXPECT_EQ(run(std::move(launch)).code(), 0);
  EXPECT_EQ(::fcntl(out.writer, F_GETFL) & O_NONBLOCK, 0) << "others may have it open too";
}

TEST(Tail, AReaderWhoNeverReadsDoesNotHoldUpTheExitForLong) {
  Ends out;
  TempDir directory;
  const std::string written = directory / "written";
  Launch launch = run_of({"--tail", "8"}, sh("seq 1 100000; : > " + written + "; exec sleep 100"));
  launch.stdout_fd = out.writer;
  Reapctl reapctl(std::move(launch));
  EXPECT_TRUE(await([&written] { return std::filesystem::exists(written); })) << "more than the pipe holds";
  reapctl.send(SIGTERM);
  const auto asked = std::chrono::steady_clock::now();
  EXPECT_TRUE(await([&] {
    return children_of(reapctl.pid()).empty() || std::chrono::steady_clock::now() - asked > std::chrono::seconds(1);
  }));
  reapctl.send(SIGTERM);  // once more: it ends the wait for the reader
  const auto asked_again = std::chrono::steady_clock::now();
  const Outcome outcome = reapctl.wait();
  EXPECT_LT(std::chrono::steady_clock::now() - asked_again, std::chrono::seconds(4)) << "not the five of the patience";
  EXPECT_EQ(outcome.report["result"], "stopped");
  EXPECT_THAT(outcome.report["warnings"].dump(), HasSubstr("nobody read them"));
}

TEST(Tail, AReaderWhoReadsGetsAllAlsoWithoutTheGuard) {
  Ends out;
  Launch launch = run_of({"--tail", "8"}, {"seq", "1", "100000"});
  launch.stdout_fd = out.writer;
  launch.leaves_processes = true;  // the supervisor, until it is reaped
  Reapctl reapctl(std::move(launch));
  out.close_writer();
  pid_t supervisor = -1;
  pollfd begun{.fd = out.reader, .events = POLLIN, .revents = 0};
  EXPECT_TRUE(await([&] {
    const auto children = children_of(reapctl.pid());
    if (children.size() == 1) supervisor = children.front();
    return supervisor > 0 && ::poll(&begun, 1, 0) == 1 && children_of(supervisor).empty();
  })) << "the command has ended, more than the pipe holds behind it";
  reapctl.send(SIGKILL);
  EXPECT_TRUE(out.drain() == numbers(100000));  // a comparison line by line would take minutes
  EXPECT_EQ(reapctl.wait().killed_by(), SIGKILL);
  EXPECT_EQ(::waitpid(supervisor, nullptr, 0), supervisor);
}

TEST(Tail, AReaderWhoNeverReadsLosesTheRestInTheEnd) {
  Ends out;
  Launch launch = run_of({"--tail", "8"}, {"seq", "1", "100000"});
  launch.stdout_fd = out.writer;
  const Outcome outcome = run(std::move(launch));  // which has more patience than reapctl
  EXPECT_EQ(outcome.code(), 0);
  EXPECT_THAT(outcome.report["warnings"].dump(), HasSubstr("nobody read them"));
}

TEST(Tail, StopTimeoutBoundsTheWaitForTheReaderToo) {
  Ends out;
  Launch launch = run_of({"--tail", "8", "--stop-timeout", "300ms", "-t", "200ms"}, sh("seq 1 100000; exec sleep 100"));
  launch.stdout_fd = out.writer;
  const Outcome outcome = run(std::move(launch));
  EXPECT_EQ(outcome.code(), 124);
  EXPECT_LT(outcome.elapsed, std::chrono::seconds(4)) << "and not the five of the patience with a reader";
}

TEST(Tail, AReaderWhoIsGoneBreaksThePipeForTheCommandToo) {
  for (const Args& option : {Args{}, Args{"--no-guard"}}) {
    Ends out;
    Args options = option;
    options.insert(options.end(), {"--tail", "8"});
    Launch launch = run_of(options, {"yes"});
    launch.stdout_fd = out.writer;
    Reapctl reapctl(std::move(launch));
    out.close_writer();
    char first = 0;
    EXPECT_EQ(::read(out.reader, &first, 1), 1);
    out.close_reader();
    const Outcome outcome = reapctl.wait();
    EXPECT_EQ(outcome.code(), 128 + SIGPIPE);
    EXPECT_EQ(outcome.report["exit"]["signal_name"], "PIPE");
    EXPECT_THAT(outcome.report["warnings"], IsEmpty());
  }
}

TEST(Tail, AFullDiskBreaksThePipeTooAndTheReportSaysWhy) {
  const int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
  ASSERT_GE(full, 0);
  Launch launch = run_of({"--tail", "8"}, {"yes"});
  launch.stdout_fd = full;
  const Outcome outcome = run(std::move(launch));
  ::close(full);
  EXPECT_EQ(outcome.code(), 128 + SIGPIPE);
  EXPECT_THAT(outcome.report["warnings"].dump(),
              HasSubstr("--tail: not all of stdout was passed on: cannot write: No space left on device"));
}

TEST(Tail, ASocketIsPassedOnToAsWell) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  Launch launch = run_of({"--tail", "8"}, {"seq", "1", "200000"});
  launch.stdout_fd = ends[1];
  Reapctl reapctl(std::move(launch));
  ::close(ends[1]);
  std::string text;
  char bytes[4096];
  for (ssize_t count = 0; (count = ::read(ends[0], bytes, sizeof bytes)) > 0;) {
    text.append(bytes, static_cast<std::size_t>(count));
  }
  ::close(ends[0]);
  EXPECT_EQ(text, numbers(200000));
  EXPECT_EQ(reapctl.wait().code(), 0);
}

TEST(Tail, ALeftoverThatHoldsThePipeHoldsUpNothing) {
  Roster roster;
  const Outcome outcome =
      run(run_of({"--tail", "1k", "--ladder", "KILL"},
                 misbehave(roster, {"fork", "[", "setsid", "ignore=INT,TERM", "ready=deaf", "]", "exit=0"})));
  EXPECT_EQ(outcome.code(), 0);
  EXPECT_LT(outcome.elapsed, std::chrono::seconds(4));
}

TEST(Tail, TheGuardGoesOnWithItWhenTheSupervisorIsKilled) {
  Roster roster;
  Reapctl reapctl(
      run_of({"--tail", "1k", "--ladder", "INT:60s,KILL"},
             sh("echo before; exec " + misbehave_path() + " --ready " + roster.path() + " on=INT:exit=0 ready=main")));
  const Process main = roster.await_roles({"main"}).at("main");
  send_signal(supervisor_of(main), SIGKILL);
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.report["result"], "supervisor-died");
  EXPECT_EQ(outcome.out, "before\n");
  EXPECT_EQ(outcome.report["output"]["stdout_tail"], "before\n");
}

TEST(Tail, DoesNotGoWithLeavingLeftoversAlone) {
  const Outcome outcome = run({.args = {"run", "--tail", "1k", "--leftovers", "leave", "--", "echo", "ran"}});
  EXPECT_EQ(outcome.code(), 125);
  EXPECT_THAT(outcome.err, HasSubstr("--tail \"1k\": does not go with --leftovers leave"));
}

}  // namespace
}  // namespace reapctl::test
