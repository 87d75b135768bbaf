#include "engine/tree.hpp"

#include "support/tree_fixture.hpp"

#include <cerrno>
#include <csignal>
#include <sys/wait.h>
#include <vector>

#include <gmock/gmock.h>

/// Who is found in the tree, told and killed.
namespace reapctl::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// --- one process

TEST_F(TreeTest, SignalsTheProcessThatIsMeant) {
  const pid_t pid = start();
  EXPECT_TRUE(signal_process(proc_, identity(pid), SIGHUP));
  EXPECT_EQ(killed_by(pid), SIGHUP);
}

TEST_F(TreeTest, RefusesARecycledPid) {
  const pid_t pid = start();
  core::ProcessId before = identity(pid);
  --before.start_ticks;
  const auto sent = signal_process(proc_, before, SIGKILL);
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code, ESRCH);
  EXPECT_TRUE(signal_process(proc_, identity(pid), SIGTERM));
  EXPECT_EQ(killed_by(pid), SIGTERM) << "and not of SIGKILL";
}

TEST_F(TreeTest, AProcessThatIsGoneIsAnError) {
  const pid_t pid = start();
  const core::ProcessId id = identity(pid);
  test::send_signal(pid, SIGKILL);
  sys::wait_and_reap(pid);
  EXPECT_EQ(signal_process(proc_, id, SIGTERM).error().code, ESRCH);
}

// --- who is there

TEST_F(TreeTest, TheLivingAreListedParentsFirstWithoutZombies) {
  EXPECT_FALSE(tree_.peak());
  EXPECT_THAT(living(), IsEmpty());
  EXPECT_EQ(tree_.peak(), 0);
  const pid_t child = test::must_fork();
  if (child == 0) {
    become_victim();
    fork_victim([] { (void)::setsid(); });
    wait_for_ever();
  }
  const pid_t grandchild = heard();
  const pid_t zombie = test::must_fork();
  if (zombie == 0) ::_exit(0);
  EXPECT_TRUE(test::await_end(zombie));
  EXPECT_THAT(living(), ElementsAre(child, grandchild));
  EXPECT_EQ(tree_.peak(), 2);
  test::send_signal(child, SIGKILL);
  EXPECT_TRUE(test::await_end(child));
  (void)living();
  EXPECT_EQ(tree_.peak(), 2) << "the most that were ever seen";
}

// --- telling

TEST_F(TreeTest, EverybodyHearsARung) {
  const pid_t first = start();
  const pid_t second = start([] { (void)::setsid(); });
  EXPECT_EQ(tree_.tell(kTerm, core::Scope::tree, first, false), 2);
  EXPECT_EQ(tree_.told(), 2);
  EXPECT_EQ(killed_by(first), SIGTERM);
  EXPECT_EQ(killed_by(second), SIGTERM);
}

TEST_F(TreeTest, WhoIgnoresASignalGetsTheOther) {
  const pid_t ignores = start([] { (void)::signal(SIGINT, SIG_IGN); });
  const pid_t listens = start();
  const core::Rung rung{.signal = SIGINT, .if_ignored = SIGTERM, .bound = {}};
  EXPECT_EQ(tree_.tell(rung, core::Scope::tree, {}, false), 2);
  EXPECT_EQ(killed_by(ignores), SIGTERM);
  EXPECT_EQ(killed_by(listens), SIGINT);
}

TEST_F(TreeTest, AStoppedProcessIsContinuedSoThatItHears) {  // fact 21
  const pid_t pid = start();
  test::send_signal(pid, SIGSTOP);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(pid), &info, WSTOPPED | WNOWAIT), 0);
  EXPECT_EQ(tree_.tell(kTerm, core::Scope::tree, {}, false), 1);
  EXPECT_EQ(killed_by(pid), SIGTERM);
}

TEST_F(TreeTest, TheScopeChoosesWhoHears) {
  const pid_t main = start([] { (void)::setpgid(0, 0); });
  const pid_t member = start([main] { (void)::setpgid(0, main); });
  const pid_t other = start();
  const core::Rung nothing{.signal = SIGURG, .if_ignored = {}, .bound = {}};  // ignored by default: only counted
  EXPECT_EQ(tree_.tell(nothing, core::Scope::main, main, false), 1);
  EXPECT_EQ(tree_.tell(nothing, core::Scope::group, main, false), 2);
  EXPECT_EQ(tree_.tell(nothing, core::Scope::tree, main, false), 3);
  EXPECT_EQ(tree_.tell(kTerm, core::Scope::group, main, false), 2);
  EXPECT_EQ(killed_by(main), SIGTERM);
  EXPECT_EQ(killed_by(member), SIGTERM);
  EXPECT_TRUE(untouched(other));
}

TEST_F(TreeTest, WhoIsLeftWhenTheMainCommandIsGoneHearsTheRungThen) {
  const pid_t main = start();
  const pid_t other = start();
  EXPECT_EQ(tree_.tell(kTerm, core::Scope::main, main, false), 1);
  EXPECT_EQ(killed_by(main), SIGTERM);
  EXPECT_EQ(tree_.tell(kTerm, core::Scope::main, std::nullopt, true), 1);
  EXPECT_EQ(tree_.told(), 2) << "of one and the same rung";
  EXPECT_EQ(killed_by(other), SIGTERM);
}

TEST_F(TreeTest, TheRestAreThoseWhoHaveNotHeardThisRung) {
  (void)start([] { (void)::signal(SIGTERM, SIG_IGN); });
  EXPECT_EQ(tree_.tell(kTerm, core::Scope::tree, {}, false), 1);
  const pid_t second = start();
  EXPECT_EQ(tree_.tell(kTerm, core::Scope::tree, {}, true), 1);
  EXPECT_EQ(killed_by(second), SIGTERM);
  EXPECT_EQ(tree_.tell(kTerm, core::Scope::tree, {}, true), 0);
  EXPECT_EQ(tree_.tell(kTerm, core::Scope::tree, {}, false), 1) << "a new rung is for everybody";
}

TEST_F(TreeTest, StandingTellsWhoStayedAndWhoIsAlive) {
  const pid_t stays = start([] { (void)::signal(SIGTERM, SIG_IGN); });
  const pid_t goes = start();
  (void)tree_.tell(kTerm, core::Scope::tree, {}, false);
  EXPECT_EQ(killed_by(goes), SIGTERM);
  (void)start();
  const auto standing = tree_.standing();
  EXPECT_EQ(standing.alive, 2);
  ASSERT_EQ(standing.stayed.size(), 1U);
  EXPECT_EQ(standing.stayed.front().id.pid, stays);
}

TEST_F(TreeTest, ForwardingToAGroupReachesItsMembersBelowUsOnly) {
  const pid_t main = start([] { (void)::setpgid(0, 0); });
  const pid_t member = start([main] { (void)::setpgid(0, main); });
  const pid_t other = start();
  tree_.forward_to_group(SIGUSR1, main);
  EXPECT_EQ(killed_by(main), SIGUSR1);
  EXPECT_EQ(killed_by(member), SIGUSR1);
  tree_.forward_to_group(SIGUSR1, main);  // gone: nobody's group
  EXPECT_TRUE(untouched(other));
}

// --- killing

TEST_F(TreeTest, KillingReachesEverybody) {
  const pid_t first = start([] { (void)::signal(SIGTERM, SIG_IGN); });
  const pid_t second = start([] { (void)::setsid(); });
  EXPECT_FALSE(tree_.killing());
  (void)tree_.kill(kNow);
  EXPECT_TRUE(tree_.killing());
  EXPECT_EQ(killed_by(first), SIGKILL);
  EXPECT_EQ(killed_by(second), SIGKILL);
  const core::Census census = tree_.kill(kNow).value();
  EXPECT_EQ(census.living, 0);
  EXPECT_FALSE(census.newest_kill);
  EXPECT_THAT(tree_.survivors(), IsEmpty());
}

TEST_F(TreeTest, ZombiesAreCountedAsChildrenButNotAsLiving) {
  std::vector<pid_t> pids;
  for (int i = 0; i < 3; ++i) pids.push_back(start());
  (void)tree_.kill(kNow);
  for (const pid_t pid : pids) EXPECT_TRUE(test::await_end(pid));
  EXPECT_EQ(tree_.kill(kNow).value().living, 0);
  EXPECT_EQ(tree_.children_seen(), 3U);
}

TEST_F(TreeTest, WhoWasNotKilledInTimeSurvives) {
  const pid_t pid = start();
  const auto survivors = tree_.survivors();
  ASSERT_EQ(survivors.size(), 1U);
  EXPECT_EQ(survivors.front().pid, pid);
  EXPECT_EQ(survivors.front().comm, test::read_stat(pid)->comm);
  EXPECT_EQ(survivors.front().reason, "appeared too late to be killed in time");
}

}  // namespace
}  // namespace reapctl::engine
