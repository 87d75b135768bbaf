#include "support/process.hpp"
#include "support/reapctl.hpp"

#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <optional>
#include <poll.h>
#include <stdexcept>
#include <string>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

/// Descriptors: what the command gets, and what reapctl holds open (fact 28a).
namespace reapctl::test {
namespace {

namespace fs = std::filesystem;

struct Pipe {
  Pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe");
    reader = ends[0];
    writer = ends[1];
  }
  ~Pipe() {
    close_reader();
    close_writer();
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  void close_reader() { ::close(std::exchange(reader, -1)); }
  void close_writer() { ::close(std::exchange(writer, -1)); }
  int reader = -1;
  int writer = -1;
};

TEST(Descriptors, ReapctlsOwnNeverReachTheCommand) {
  Roster roster;
  TempDir directory;
  Reapctl reapctl(
      run_of({"--events", directory / "events", "--die-with", "parent"}, misbehave(roster, {"say-fds", "exit=0"})));
  EXPECT_EQ(roster.next().role, "fds:0,1,2");
  EXPECT_EQ(reapctl.wait().code(), 0);
}

TEST(Descriptors, TheCallersPassThrough) {
  Roster roster;
  Pipe pipe;
  Launch launch = run_of({}, misbehave(roster, {"say-fds", "exit=0"}));
  launch.fds = {{3, pipe.reader}, {7, pipe.writer}};
  Reapctl reapctl(std::move(launch));
  EXPECT_EQ(roster.next().role, "fds:0,1,2,3,7");
  EXPECT_EQ(reapctl.wait().code(), 0);
}

struct CloseFds {
  const char* option;
  const char* open;
};

class CloseFdsOption : public testing::TestWithParam<CloseFds> {};

TEST_P(CloseFdsOption, LeavesOnlyTheStandardOnesAndThoseNamed) {
  Roster roster;
  Pipe pipe;
  Launch launch = run_of({GetParam().option}, misbehave(roster, {"say-fds", "exit=0"}));
  launch.fds = {{3, pipe.reader}, {7, pipe.writer}, {90, pipe.writer}};
  Reapctl reapctl(std::move(launch));
  EXPECT_EQ(roster.next().role, GetParam().open);
  EXPECT_EQ(reapctl.wait().code(), 0);
}

INSTANTIATE_TEST_SUITE_P(Descriptors, CloseFdsOption,
                         testing::Values(CloseFds{"--close-fds", "fds:0,1,2"},
                                         CloseFds{"--close-fds=except:7", "fds:0,1,2,7"},
                                         CloseFds{"--close-fds=except:3,90", "fds:0,1,2,3,90"}));

TEST(Fact28a, AReaderOfTheCommandsOutputSeesEndOfFile) {
  Roster roster;
  Pipe pipe;
  Pipe extra;
  Launch launch = run_of({}, misbehave(roster, {"close=1,5", "ready=main"}));
  launch.stdout_fd = pipe.writer;
  launch.fds = {{5, extra.writer}};
  Reapctl reapctl(std::move(launch));
  pipe.close_writer();
  extra.close_writer();
  roster.await_roles({"main"});
  // The command lives and has closed them; a copy that reapctl kept would make these reads wait for ever.
  char byte = 0;
  EXPECT_EQ(::read(pipe.reader, &byte, 1), 0);
  EXPECT_EQ(::read(extra.reader, &byte, 1), 0);
  reapctl.send(SIGTERM);
  EXPECT_EQ(reapctl.wait().code(), 130);
}

TEST(Fact28a, AWriterToTheCommandsInputSeesABrokenPipe) {
  Roster roster;
  Pipe pipe;
  Launch launch = run_of({}, misbehave(roster, {"close=0", "ready=main"}));
  launch.stdin_fd = pipe.reader;
  Reapctl reapctl(std::move(launch));
  pipe.close_reader();
  roster.await_roles({"main"});
  const auto previous = ::signal(SIGPIPE, SIG_IGN);
  EXPECT_TRUE(await([&] { return ::write(pipe.writer, "x", 1) < 0 && errno == EPIPE; }))
      << "reapctl lets go a moment after the start";
  ::signal(SIGPIPE, previous);
  reapctl.send(SIGTERM);
  EXPECT_EQ(reapctl.wait().code(), 130);
}

TEST(Fact28a, ALeftoverThatHoldsThePipeDoesNotHoldUpTheExit) {
  Pipe pipe;
  Launch launch = run_of({"--ladder", "INT:50ms,KILL"}, sh("trap '' INT; setsid sleep 60 & exit 4"));
  launch.stdout_fd = pipe.writer;
  launch.stderr_fd = pipe.writer;
  Reapctl reapctl(std::move(launch));
  pipe.close_writer();
  EXPECT_EQ(reapctl.wait().code(), 4);
  char byte = 0;
  EXPECT_EQ(::read(pipe.reader, &byte, 1), 0) << "nobody has it any more";
}

TEST(Descriptors, AFullPipeDoesNotBlockTheStop) {
  Roster roster;
  Pipe pipe;
  ::fcntl(pipe.writer, F_SETPIPE_SZ, 4096);
  // The command is blocked in a write, stderr is the same full pipe, and nobody reads.
  Launch launch{.args = {"run", "--report", "none", "--ladder", "INT:50ms,KILL", "--", "sh", "-c",
                         "trap '' INT; " + misbehave_path() + " --ready " + roster.path() +
                             " ready=main exit=0; exec cat /dev/zero"},
                .stdout_fd = pipe.writer,
                .stderr_fd = pipe.writer};
  Reapctl reapctl(std::move(launch));
  roster.await_roles({"main"});
  reapctl.send(SIGTERM);
  EXPECT_EQ(reapctl.wait().code(), 137);
}

TEST(Descriptors, AReportThatNobodyReadsDoesNotOutlastTheStopTimeout) {
  Pipe pipe;
  ::fcntl(pipe.writer, F_SETFL, O_NONBLOCK);
  while (::write(pipe.writer, "full", 4) > 0) continue;
  ::fcntl(pipe.writer, F_SETFL, 0);
  // Once after a request to stop, once after a limit. Whoever had to be asked a second time would wait for ever.
  for (const bool by_limit : {false, true}) {
    Roster roster;
    Launch launch{.args = {"run", "--stop-timeout", "300ms", "-t", by_limit ? "10ms" : "1h", "--", misbehave_path(),
                           "--ready", roster.path(), "ready=main"},
                  .stderr_fd = pipe.writer};
    Reapctl reapctl(std::move(launch));
    if (!by_limit) {
      roster.await_roles({"main"});
      reapctl.send(SIGTERM);
    }
    EXPECT_EQ(reapctl.wait().code(), by_limit ? 124 : 130);
  }
}

/// All that comes until the last writer is gone; what has come if that takes too long.
std::string read_to_end(int fd) {
  std::string text;
  char block[4096];
  for (pollfd ready{.fd = fd, .events = POLLIN, .revents = 0}; ::poll(&ready, 1, 30000) == 1;) {
    const ssize_t count = ::read(fd, block, sizeof block);
    if (count <= 0) return text;
    text.append(block, static_cast<std::size_t>(count));
  }
  ADD_FAILURE() << "somebody holds it open";
  return text;
}

/// A report that does not fit into its pipe, and its guard has been killed.
class ReportOfAnOrphan : public testing::Test {
 protected:
  void start(const std::string& script) {
    ::fcntl(report_.writer, F_SETPIPE_SZ, 4096);
    Launch launch{.args = {"run", "--report", "stdout", "--", "sh", "-c", script, "sh", std::string(20000, 'x')},
                  .stdout_fd = report_.writer,
                  .stderr_fd = messages_.writer,
                  .leaves_processes = true};  // the supervisor, until it is reaped
    reapctl_.emplace(std::move(launch));
    report_.close_writer();
    messages_.close_writer();
    pollfd begun{.fd = report_.reader, .events = POLLIN, .revents = 0};
    ASSERT_EQ(::poll(&begun, 1, 30000), 1) << "the first of it, or a word of the command";
    const std::vector<pid_t> children = children_of(reapctl_->pid());
    ASSERT_EQ(children.size(), 1U);
    supervisor_ = children.front();
    reapctl_->send(SIGKILL);
  }

  void expect_the_end() {
    EXPECT_EQ(reapctl_->wait().killed_by(), SIGKILL);
    EXPECT_EQ(::waitpid(supervisor_, nullptr, 0), supervisor_);
  }

  Pipe report_;
  Pipe messages_;
  std::optional<Reapctl> reapctl_;
  pid_t supervisor_ = -1;
};

TEST_F(ReportOfAnOrphan, ComesInOnePlaceHoweverSlowlyItIsRead) {
  start("exit 3");
  const std::string text = read_to_end(report_.reader);
  EXPECT_EQ(read_to_end(messages_.reader), "");
  EXPECT_THAT(text, testing::EndsWith("}\n"));
  EXPECT_GT(text.size(), 20000U);
  expect_the_end();
}

TEST_F(ReportOfAnOrphan, DoesNotWaitForEverForWhoNeverReads) {
  start("echo here; exec sleep 100000");
  EXPECT_THAT(read_to_end(messages_.reader), testing::HasSubstr("so the report is here"));
  expect_the_end();
}

TEST(Descriptors, TooFewLeaveNothingThatIsNotSaid) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer needs descriptors of its own";
#endif
  // From so few that not even the registry can be opened to as many as are needed.
  for (rlim_t most = 4; most <= 24; ++most) {
    const TempDir directory;
    Launch launch{.args = {"run", "--report-format", "text", "--", "true"},
                  .env = {{"TMPDIR", directory.path()}, {"REAPCTL_REGISTRY", directory / "registry"}},
                  .leaves_record = true,
                  .before_exec = [most] {
                    const rlimit limit{.rlim_cur = most, .rlim_max = most};
                    (void)::setrlimit(RLIMIT_NOFILE, &limit);
                  }};
    const Outcome outcome = run(std::move(launch));
    const auto is_empty = [](const std::string& path) { return !fs::exists(path) || fs::is_empty(path); };
    const bool nothing_made = is_empty(directory / "registry");
    fs::remove_all(directory / "registry");
    EXPECT_EQ(nothing_made, is_empty(directory.path())) << most << ": on record or gone, both\n" << outcome.err;
    EXPECT_TRUE(nothing_made || outcome.err.find("could not be deleted") != std::string::npos) << most << outcome.err;
    EXPECT_TRUE(outcome.code() == 0 || outcome.code() == 125 || outcome.code() == 127) << most << outcome.err;
  }
}

TEST(Descriptors, StdoutAndStderrAreTheCommands) {
  const Outcome outcome = run(run_of({}, sh("echo out; echo err >&2")));
  EXPECT_EQ(outcome.out, "out\n");
  EXPECT_EQ(outcome.err, "err\n");
}

TEST(Descriptors, NoNewPrivs) {
  EXPECT_EQ(run(run_of({"--no-new-privs"}, {"grep", "NoNewPrivs", "/proc/self/status"})).out, "NoNewPrivs:\t1\n");
  EXPECT_EQ(run(run_of({}, {"grep", "NoNewPrivs", "/proc/self/status"})).out, "NoNewPrivs:\t0\n");
}

TEST(Descriptors, LimitsAreThoseOfTheCaller) {
  const Outcome outcome = run(run_of({}, sh("ulimit -n; ulimit -c; umask")));
  EXPECT_EQ(outcome.out, run({.args = {"run", "--report", "none", "--", reapctl_path(), "run", "--report", "none", "--",
                                       "sh", "-c", "ulimit -n; ulimit -c; umask"}})
                             .out);
}

}  // namespace
}  // namespace reapctl::test
