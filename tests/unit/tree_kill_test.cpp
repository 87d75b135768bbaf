#include "engine/tree.hpp"
#include "support/forked.hpp"
#include "support/pipe.hpp"
#include "support/process.hpp"
#include "sys/children.hpp"

#include <csignal>
#include <functional>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

/// The blow at the group of the main command. A group dies at once, forks included, but its number means somebody else
/// as soon as none of ours holds it any more. So here somebody who is no descendant joins the group.
namespace reapctl::engine {
namespace {

using test::Pipe;

const core::TimePoint kNow{std::chrono::hours(1000)};

enum class Main { alive, dead, reaped };

class TreeGroupKill : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0); }
  void TearDown() override {
    while (sys::has_children()) {  // the outsider is reaped; whom the forked process had has a death signal
      for (const pid_t pid : test::children_of(::getpid())) test::send_signal(pid, SIGKILL);
      (void)::waitpid(-1, nullptr, __WALL);
    }
    (void)::prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
  }

  /// The signal that ends the outsider, when a process kills its tree whose main command has led his group: SIGKILL, or
  /// SIGPROF, which is sent afterwards to one who has not been killed.
  int outsiders_end(Main main, bool leads_group) const {
    const Pipe orders;
    const pid_t outsider = test::must_fork();
    if (outsider == 0) {
      (void)::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
      pid_t group = 0;
      if (::read(orders.reader.get(), &group, sizeof group) != sizeof group || ::setpgid(0, group) != 0) ::_exit(98);
      stay();
    }
    EXPECT_TRUE(test::holds_when_forked([&] { return kill_a_tree(outsider, orders, main, leads_group); }));
    test::send_signal(outsider, SIGPROF);
    EXPECT_TRUE(test::await_end(outsider));
    const auto ended = sys::reap(outsider);
    return ended && ended->info.si_code == CLD_KILLED ? ended->info.si_status : 0;
  }

 private:
  bool kill_a_tree(pid_t outsider, const Pipe& orders, Main main, bool leads_group) const {
    const pid_t leader = start([] { (void)::setpgid(0, 0); });
    if (::write(orders.writer.get(), &leader, sizeof leader) != sizeof leader || heard() != outsider) return false;
    if (main != Main::alive) {
      test::send_signal(leader, SIGKILL);
      if (!test::await_end(leader)) return false;
    }
    if (main == Main::reaped && !sys::reap(leader)) return false;
    const pid_t other = start([] { (void)::setpgid(0, 0); });
    Tree tree(proc_, "REAPCTL_COOKIE_TREETEST=1");
    tree.own(leader, leads_group);
    return tree.kill(kNow).has_value() && test::await_end(other);
  }

  pid_t start(const std::function<void()>& body) const {
    const pid_t pid = test::must_fork();
    if (pid == 0) {
      (void)::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
      body();
      stay();
    }
    return heard() == pid ? pid : 0;
  }

  [[noreturn]] void stay() const {
    const pid_t pid = ::getpid();
    if (::write(news_.writer.get(), &pid, sizeof pid) != sizeof pid) ::_exit(99);
    while (true) (void)::pause();
  }

  [[nodiscard]] pid_t heard() const {
    pid_t pid = 0;
    return ::read(news_.reader.get(), &pid, sizeof pid) == sizeof pid ? pid : 0;
  }

  proc::ProcFs proc_;
  Pipe news_;
};

TEST_F(TreeGroupKill, TheGroupDiesAtOneBlow) {
  EXPECT_EQ(outsiders_end(Main::alive, true), SIGKILL);
}

TEST_F(TreeGroupKill, ALeaderWhoIsDeadAndNotReapedStillHoldsItsNumber) {
  EXPECT_EQ(outsiders_end(Main::dead, true), SIGKILL);
}

TEST_F(TreeGroupKill, WithoutAChildOfOursInItItIsSomebodyElses) {
  EXPECT_EQ(outsiders_end(Main::reaped, true), SIGPROF);
}

TEST_F(TreeGroupKill, AGroupThatIsNotTheCommandsOwnIsSpared) {
  EXPECT_EQ(outsiders_end(Main::alive, false), SIGPROF);
}

}  // namespace
}  // namespace reapctl::engine
