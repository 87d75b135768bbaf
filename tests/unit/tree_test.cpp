#include "engine/tree.hpp"

#include "support/forked.hpp"
#include "support/pipe.hpp"
#include "support/process.hpp"
#include "sys/children.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <functional>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <gmock/gmock.h>

/// Real processes below this one, which is a subreaper as reapctl is. Each victim says that it is there; TearDown
/// leaves none.
namespace reapctl::engine {
namespace {

using test::Pipe;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr core::Rung kTerm{.signal = SIGTERM, .if_ignored = {}, .bound = {}};
constexpr char kCookie[] = "REAPCTL_COOKIE_TREETEST=1";
const core::TimePoint kNow{std::chrono::hours(1000)};

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
  Pipe news_;
};

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

// --- strangers: children from before the run

TEST_F(TreeTest, AChildFromBeforeIsNotOfTheRun) {
  const pid_t stranger = start();
  EXPECT_FALSE(tree_.has_strangers());
  tree_.disown_children();
  EXPECT_TRUE(tree_.has_strangers());
  EXPECT_TRUE(tree_.is_strange_child(stranger));
  const pid_t main = start();
  tree_.own(main);
  EXPECT_FALSE(tree_.is_strange_child(main));
  EXPECT_THAT(living(), ElementsAre(main));
  EXPECT_EQ(tree_.tell(kTerm, core::Scope::tree, main, false), 1);
  (void)tree_.kill(kNow);
  EXPECT_EQ(killed_by(main), SIGTERM);
  EXPECT_TRUE(untouched(stranger));
  EXPECT_THAT(tree_.survivors(), IsEmpty());
}

TEST_F(TreeTest, NorAreItsChildrenNorItsOrphans) {
  Pipe go;
  const pid_t stranger = test::must_fork();
  if (stranger == 0) {
    char byte = 0;
    if (::read(go.reader.get(), &byte, 1) != 1) ::_exit(1);
    if (test::must_fork() == 0) {
      announce();
      wait_for_ever();
    }
    if (::read(go.reader.get(), &byte, 1) != 1) ::_exit(1);
    ::_exit(0);
  }
  tree_.disown_children();
  ASSERT_EQ(::write(go.writer.get(), "x", 1), 1);
  const pid_t later = heard();
  EXPECT_THAT(living(), IsEmpty()) << "the child of a stranger";
  ASSERT_EQ(::write(go.writer.get(), "x", 1), 1);
  sys::wait_and_reap(stranger);
  tree_.forget_stranger(stranger);
  EXPECT_THAT(living(), IsEmpty()) << "its orphan, which is our child now";
  (void)tree_.kill(kNow);
  EXPECT_TRUE(untouched(later));
}

TEST_F(TreeTest, AnOrphanThatNobodyHasSeenBeforeIsNotKilled) {
  const pid_t stranger = start();
  tree_.disown_children();
  (void)tree_.kill(kNow);
  // As if a stranger had forked and ended between two looks at the tree.
  const pid_t orphan = start_orphan();
  const core::Census census = tree_.kill(kNow).value();
  EXPECT_EQ(census.living, 0);
  EXPECT_TRUE(untouched(orphan));
  EXPECT_TRUE(untouched(stranger));
}

TEST_F(TreeTest, AnOrphanSeenBelowTheMainCommandIsOfTheRun) {
  (void)start();
  tree_.disown_children();
  Pipe go;
  const pid_t main = test::must_fork();
  if (main == 0) {
    if (test::must_fork() == 0) {
      announce();
      wait_for_ever();
    }
    char byte = 0;
    (void)!::read(go.reader.get(), &byte, 1);
    ::_exit(0);
  }
  tree_.own(main);
  const pid_t child = heard();
  EXPECT_THAT(living(), UnorderedElementsAre(main, child));
  ASSERT_EQ(::write(go.writer.get(), "x", 1), 1);
  sys::wait_and_reap(main);
  EXPECT_THAT(living(), ElementsAre(child));
  (void)tree_.kill(kNow);
  EXPECT_EQ(killed_by(child), SIGKILL);
}

TEST_F(TreeTest, AnOrphanWithTheCookieIsOfTheRunAsSoonAsItShowsIt) {
  const pid_t stranger = start();
  tree_.disown_children();
  Pipe go;
  const pid_t pid = test::must_fork();
  if (pid == 0) {
    announce();
    char byte = 0;
    if (::read(go.reader.get(), &byte, 1) != 1) ::_exit(1);
    (void)::execle("/bin/sleep", "sleep", "1000", nullptr,
                   std::array{kCookie, static_cast<const char*>(nullptr)}.data());
    ::_exit(127);
  }
  ASSERT_EQ(heard(), pid);
  EXPECT_THAT(living(), IsEmpty()) << "a child without the cookie, for now";
  ASSERT_EQ(::write(go.writer.get(), "x", 1), 1);
  EXPECT_TRUE(test::await([this] { return !living().empty(); }));
  EXPECT_THAT(living(), ElementsAre(pid));
  (void)tree_.kill(kNow);
  EXPECT_EQ(killed_by(pid), SIGKILL);
  EXPECT_TRUE(untouched(stranger));
}

TEST_F(TreeTest, AStrangersPidMayBeGivenToSomebodyElse) {
  const pid_t stranger = start();
  tree_.disown_children();
  test::send_signal(stranger, SIGKILL);
  sys::wait_and_reap(stranger);
  tree_.forget_stranger(stranger);
  EXPECT_FALSE(tree_.is_strange_child(stranger));
}

TEST_F(TreeTest, TheLastStrangerMayLeaveOrphansBehind) {
  const pid_t stranger = start();
  tree_.disown_children();
  test::send_signal(stranger, SIGKILL);
  sys::wait_and_reap(stranger);
  tree_.forget_stranger(stranger);
  const pid_t orphan = start_orphan();  // as if it had been his, and nobody had looked before he died
  EXPECT_TRUE(tree_.has_strangers());
  EXPECT_THAT(living(), IsEmpty());
  (void)tree_.kill(kNow);
  EXPECT_TRUE(untouched(orphan));
}

}  // namespace
}  // namespace reapctl::engine
