#include "support/process.hpp"
#include "support/sweep_fixture.hpp"

#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

/// A command whose exec does not come to an end, as that of a program on a file server that does not answer. Here it is
/// a lease, fcntl(2), that keeps the kernel from opening the program.
namespace reapctl::test {
namespace {

namespace fs = std::filesystem;

class HungExec : public SweepFixture {
 protected:
  void SetUp() override {
    fs::copy_file(misbehave_path(), program_);
    lease_ = ::open(program_.c_str(), O_RDONLY | O_CLOEXEC);
    ASSERT_GE(lease_, 0);
    if (!take_lease()) GTEST_SKIP() << "no leases on the files of " << directory_.path();
  }

  [[nodiscard]] bool take_lease() const {
    (void)::fcntl(lease_, F_SETLEASE, F_UNLCK);  // one that was broken
    return ::fcntl(lease_, F_SETSIG, SIGURG) == 0 && ::fcntl(lease_, F_SETLEASE, F_WRLCK) == 0;
  }

  void TearDown() override { ::close(lease_); }

  /// A run that hangs in the exec of its command.
  std::unique_ptr<Reapctl> start_hanging(Args options = {}) {
    EXPECT_TRUE(take_lease());
    options.insert(options.begin(), {"run", "--workdir-base", base_, "--contain", "subreaper"});
    options.insert(options.end(), {"--", program_});
    auto reapctl = std::make_unique<Reapctl>(
        Launch{.args = std::move(options), .with_report = true, .env = environment_, .leaves_processes = true});
    EXPECT_TRUE(await([this] { return ::fcntl(lease_, F_GETLEASE) != F_WRLCK; })) << "somebody wants to open it";
    return reapctl;
  }

  void expect_nothing_left() const {
    EXPECT_TRUE(await([] {
      while (::waitpid(-1, nullptr, WNOHANG | __WALL) > 0) continue;
      return children_of(::getpid()).empty();
    })) << describe_tree(::getpid());
    EXPECT_TRUE(nothing_on_record());
    EXPECT_TRUE(fs::is_empty(base_));
  }

  std::string program_ = directory_ / "program";
  int lease_ = -1;
};

TEST_F(HungExec, EndsWithTheRequestToStop) {
  for (const char* guard : {"--ladder=INT/TERM:5s,KILL", "--no-guard"}) {
    SCOPED_TRACE(guard);
    auto reapctl = start_hanging({guard});
    reapctl->send(SIGTERM);
    const Outcome outcome = reapctl->wait();
    EXPECT_EQ(outcome.code(), 143);
    EXPECT_EQ(outcome.report["result"], "stopped") << outcome.report;
    expect_nothing_left();
  }
}

TEST_F(HungExec, EndsWithAnotherSignalAheadOfTheRequest) {
  auto reapctl = start_hanging();
  reapctl->send(SIGUSR1);
  reapctl->send(SIGTERM);
  EXPECT_EQ(reapctl->wait().report["result"], "stopped");
  expect_nothing_left();
}

TEST_F(HungExec, EndsWithTheTimeOfTheRun) {
  for (const char* guard : {"--ladder=INT/TERM:5s,KILL", "--no-guard"}) {
    SCOPED_TRACE(guard);
    const Outcome outcome = start_hanging({guard, "--timeout", "100ms"})->wait();
    EXPECT_EQ(outcome.code(), 124);
    EXPECT_EQ(outcome.report["result"], "timeout") << outcome.report;
    expect_nothing_left();
  }
}

TEST_F(HungExec, EndsWithTheProcessItIsToDieWith) {
  const pid_t other = ::fork();
  if (other == 0) {
    (void)::pause();
    ::_exit(0);
  }
  auto reapctl = start_hanging({"--die-with", std::to_string(other)});
  (void)::kill(other, SIGKILL);
  EXPECT_EQ(reapctl->wait().report["stop"]["cause"], "die-with");
  (void)::waitpid(other, nullptr, 0);
  expect_nothing_left();
}

TEST_F(HungExec, EndsWithTheGuard) {
  auto reapctl = start_hanging();
  reapctl->send(SIGKILL);
  EXPECT_EQ(reapctl->wait().killed_by(), SIGKILL);
  expect_nothing_left();
}

TEST_F(HungExec, KeepsNobodyFromTheLockOfADeadRun) {
  auto reapctl = start_hanging({"--lock", "x"});
  const auto supervisors = children_of(reapctl->pid());
  ASSERT_EQ(supervisors.size(), 1U);
  const auto mains = children_of(supervisors.front());
  ASSERT_EQ(mains.size(), 1U);
  const auto main = identify(mains.front());
  orphan(*reapctl, main.value());
  const Outcome next = this->reapctl({"run", "--report", "none", "--lock", "x", "--on-overlap", "fail", "--", "true"});
  EXPECT_EQ(next.code(), 0) << next.err;
  EXPECT_FALSE(is_alive(*main));
  expect_nothing_left();
}

}  // namespace
}  // namespace reapctl::test
