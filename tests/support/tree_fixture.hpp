#pragma once

#include "engine/tree.hpp"
#include "support/forked.hpp"
#include "support/pipe.hpp"
#include "support/process.hpp"
#include "sys/children.hpp"

#include <csignal>
#include <functional>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

namespace reapctl::engine {

inline constexpr core::Rung kTerm{.signal = SIGTERM, .if_ignored = {}, .bound = {}};
inline constexpr char kCookie[] = "REAPCTL_COOKIE_TREETEST=1";
inline const core::TimePoint kNow{std::chrono::hours(1000)};

/// Real processes below this one, which is a subreaper as reapctl is. Each victim says that it is there; TearDown
/// leaves none.
class TreeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    ASSERT_FALSE(sys::has_children());
  }
  void TearDown() override {
    // Until nobody is left: each death may give us more children.
    while (sys::has_children()) {
      for (const pid_t pid : test::children_of(::getpid())) test::send_signal(pid, SIGKILL);
      (void)::waitpid(-1, nullptr, 0);
    }
    (void)::prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
  }

  /// A child that runs `body`, says that it is there, and then waits for a signal to end it.
  pid_t start(const std::function<void()>& body = [] {}) {
    const pid_t pid = test::must_fork();
    if (pid == 0) {
      become_victim();
      body();
      announce();
      wait_for_ever();
    }
    EXPECT_EQ(heard(), pid);
    return pid;
  }

  static void become_victim() {
    (void)::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) (void)::signal(signal, SIG_DFL);
  }
  [[noreturn]] static void wait_for_ever() {
    while (true) (void)::pause();
  }
  void announce() const {
    const pid_t pid = ::getpid();
    if (::write(news_.writer.get(), &pid, sizeof pid) != sizeof pid) ::_exit(99);
  }
  [[nodiscard]] pid_t heard() const {
    pid_t pid = 0;
    return ::read(news_.reader.get(), &pid, sizeof pid) == sizeof pid ? pid : 0;
  }

  /// In a victim: a child of its own. Its pid is the next that is heard.
  void fork_victim(const std::function<void()>& body = [] {}) const {
    if (test::must_fork() != 0) return;
    become_victim();
    body();
    announce();
    wait_for_ever();
  }

  /// A living orphan: its parent is gone, and it is our child now.
  pid_t start_orphan() {
    const pid_t parent = test::must_fork();
    if (parent == 0) {
      if (test::must_fork() == 0) {
        announce();
        wait_for_ever();
      }
      ::_exit(0);
    }
    const pid_t orphan = heard();
    sys::wait_and_reap(parent);
    EXPECT_EQ(test::read_stat(orphan).value().ppid, ::getpid());
    return orphan;
  }

  [[nodiscard]] core::ProcessId identity(pid_t pid) const { return proc_.stat(pid).value().id; }
  /// Waits for the end of a child. The signal that killed it, 0 if none did.
  static int killed_by(pid_t pid) {
    EXPECT_TRUE(test::await_end(pid));
    const auto ended = sys::reap(pid);
    return ended && ended->info.si_code == CLD_KILLED ? ended->info.si_status : 0;
  }
  /// Whether nobody has signalled the child until now. A pending signal goes before SIGPROF: SIGKILL always, others by
  /// their numbers. Ends the child.
  static bool untouched(pid_t pid) {
    test::send_signal(pid, SIGPROF);
    return killed_by(pid) == SIGPROF;
  }
  std::vector<pid_t> living() {
    std::vector<pid_t> pids;
    for (const auto& process : tree_.living()) pids.push_back(process.id.pid);
    return pids;
  }

  proc::ProcFs proc_;
  Tree tree_{proc_, kCookie};
  test::Pipe news_;
};

}  // namespace reapctl::engine
