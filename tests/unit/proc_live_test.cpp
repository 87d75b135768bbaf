#include "proc/proc_fs.hpp"
#include "sys/unique_fd.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <functional>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include <gmock/gmock.h>

/// The real /proc with real processes. Each victim blocks in read on a pipe whose only writer is the test, so that it
/// ends with the test, however that ends.
namespace reapctl::proc {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;

class Pipe {
 public:
  Pipe() {
    int ends[2] = {-1, -1};
    if (::pipe2(ends, O_CLOEXEC) != 0) std::abort();
    reader_.reset(ends[0]);
    writer_.reset(ends[1]);
  }
  void close_writer() { writer_.reset(); }
  void send(pid_t pid) const {
    if (::write(writer_.get(), &pid, sizeof pid) != sizeof pid) ::_exit(1);
  }
  /// 0 at the end of file.
  [[nodiscard]] pid_t receive() const {
    pid_t pid = 0;
    return ::read(reader_.get(), &pid, sizeof pid) == sizeof pid ? pid : 0;
  }

 private:
  sys::UniqueFd reader_;
  sys::UniqueFd writer_;
};

class ProcLive : public ::testing::Test {
 protected:
  /// A child of this process that runs `body` and then ends.
  pid_t start(const std::function<void()>& body) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      hold_.close_writer();
      body();
      ::_exit(0);
    }
    if (pid > 0) started_.push_back(pid);
    return pid;
  }

  /// In a victim: until the test is over.
  void wait_for_the_end() const { (void)hold_.receive(); }

  void TearDown() override {
    hold_.close_writer();
    for (const pid_t pid : started_) EXPECT_EQ(::waitpid(pid, nullptr, 0), pid);
  }

  const ProcFs proc_;
  Pipe hold_;
  Pipe news_;
  std::vector<pid_t> started_;
};

std::vector<pid_t> pids_of(const Listing& listing) {
  std::vector<pid_t> pids;
  for (const core::ProcessStat& each : listing.processes) pids.push_back(each.id.pid);
  return pids;
}

TEST_F(ProcLive, ReadsThisProcess) {
  const auto stat = proc_.stat(::getpid());
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->id.pid, ::getpid());
  EXPECT_EQ(stat->ppid, ::getppid());
  EXPECT_EQ(stat->pgid, ::getpgrp());
  EXPECT_EQ(stat->sid, ::getsid(0));
  EXPECT_EQ(stat->state, 'R');
  EXPECT_EQ(stat->comm, proc_.comm(::getpid()));
  EXPECT_THAT(proc_.cmdline(::getpid()), Not(IsEmpty()));
  EXPECT_THAT(pids_of(proc_.all()), Contains(::getpid()));
}

TEST_F(ProcLive, FindsAGrandchildInASessionOfItsOwn) {
  const pid_t child = start([&] {
    const pid_t grandchild = ::fork();
    if (grandchild == 0) {
      ::setsid();
      news_.send(::getpid());
      wait_for_the_end();
      ::_exit(0);
    }
    (void)::waitpid(grandchild, nullptr, 0);
  });
  ASSERT_GT(child, 0);
  const pid_t grandchild = news_.receive();
  EXPECT_THAT(pids_of(proc_.descendants(::getpid())), ElementsAre(child, grandchild));
  EXPECT_THAT(pids_of(proc_.descendants(child)), ElementsAre(grandchild));
  EXPECT_EQ(proc_.stat(grandchild)->sid, grandchild);
}

TEST_F(ProcLive, FindsTheChildOfAnotherThread) {
  if (!proc_.has_children_files()) GTEST_SKIP() << "a kernel without CONFIG_PROC_CHILDREN";
  std::thread forks([&] {
    start([&] { wait_for_the_end(); });
    news_.send(started_.back());
    (void)hold_.receive();
  });
  const pid_t child = news_.receive();
  EXPECT_THAT(proc_.children(::getpid()).value(), ElementsAre(child));
  const std::string of_first_thread = std::to_string(::getpid()) + "/task/" + std::to_string(::getpid()) + "/children";
  EXPECT_EQ(proc_.read(of_first_thread).value(), "");
  EXPECT_THAT(pids_of(proc_.descendants(::getpid())), ElementsAre(child));
  hold_.close_writer();
  forks.join();
}

TEST_F(ProcLive, FindsTheChildOfAProcessWhoseFirstThreadHasEnded) {
  const pid_t child = start([&] {
    std::thread([&] {
      const pid_t grandchild = ::fork();
      if (grandchild != 0) {
        news_.send(grandchild);
        (void)::waitpid(grandchild, nullptr, 0);
        ::_exit(0);
      }
      wait_for_the_end();
      ::_exit(0);
    }).detach();
    (void)::syscall(SYS_exit, 0);  // ends this thread only
  });
  const pid_t grandchild = news_.receive();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (proc_.stat(child)->state != 'Z' && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  const auto leader = proc_.stat(child);
  EXPECT_EQ(leader->state, 'Z');
  EXPECT_EQ(leader->threads, 2);
  EXPECT_THAT(pids_of(proc_.descendants(::getpid())), ElementsAre(child, grandchild));
}

TEST_F(ProcLive, ListsMoreZombiesThanOneReadGives) {
  if (!proc_.has_children_files()) GTEST_SKIP() << "a kernel without CONFIG_PROC_CHILDREN";
  constexpr int kCount = 1100;  // 4400 bytes even in a new PID namespace with its short numbers; one read gives 4096
  for (int i = 0; i < kCount; ++i) ASSERT_GT(start([] {}), 0);
  auto children = proc_.children(::getpid()).value();
  std::sort(children.begin(), children.end());
  std::sort(started_.begin(), started_.end());
  EXPECT_EQ(children, started_);
  EXPECT_EQ(proc_.descendants(::getpid()).processes.size(), started_.size());
}

TEST_F(ProcLive, AReapedProcessIsGoneAndAZombieIsNot) {
  const pid_t child = start([] {});
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);
  EXPECT_EQ(proc_.stat(child)->state, 'Z');
  EXPECT_THAT(proc_.cmdline(child), IsEmpty());
  EXPECT_NE(proc_.environ_has(child, "NO_SUCH=1"), EnvironMatch::yes);
  TearDown();
  started_.clear();
  EXPECT_TRUE(is_gone(proc_.stat(child).error()));
  EXPECT_TRUE(is_gone(proc_.children(child).error()));
  EXPECT_THAT(pids_of(proc_.descendants(child)), IsEmpty());
}

TEST_F(ProcLive, SeesIgnoredAndBlockedSignals) {
  const pid_t child = start([&] {
    (void)::signal(SIGINT, SIG_IGN);
    (void)::signal(SIGTERM, SIG_DFL);
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    ::sigprocmask(SIG_SETMASK, &blocked, nullptr);
    news_.send(::getpid());
    wait_for_the_end();
  });
  ASSERT_EQ(news_.receive(), child);
  const auto masks = proc_.signal_masks(child);
  ASSERT_TRUE(masks);
  EXPECT_TRUE(masks->ignores(SIGINT));
  EXPECT_FALSE(masks->ignores(SIGTERM));
  EXPECT_EQ(masks->blocked, std::uint64_t{1} << (SIGUSR1 - 1));
}

/// Between taking the signal and the flags of an end: there the kernel holds who is traced so.
TEST_F(ProcLive, KnowsWhoIsDoomedAlsoBetweenTheSignalAndTheEnd) {
  const pid_t child = start([&] { wait_for_the_end(); });
  ASSERT_FALSE(proc_.stat(child)->doomed);
  if (::ptrace(PTRACE_SEIZE, child, nullptr, PTRACE_O_TRACEEXIT) != 0) GTEST_SKIP() << "no ptrace";
  (void)::kill(child, SIGKILL);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, __WALL), child);
  ASSERT_EQ(status >> 8, SIGTRAP | (PTRACE_EVENT_EXIT << 8));
  EXPECT_TRUE(proc_.stat(child)->doomed);
  (void)::ptrace(PTRACE_DETACH, child, nullptr, nullptr);
}

}  // namespace
}  // namespace reapctl::proc
