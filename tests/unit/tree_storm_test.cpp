#include "engine/tree.hpp"
#include "support/environment.hpp"
#include "support/fake_proc.hpp"
#include "support/forked.hpp"
#include "support/pipe.hpp"
#include "support/process.hpp"
#include "sys/children.hpp"
#include "sys/unique_fd.hpp"

#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <optional>
#include <string>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

/// What is not done in a storm, where each millisecond of the processor is waited for, and thousands are dead. Its
/// zombies are real; the cgroup is made of plain files.
namespace reapctl::engine {
namespace {

using test::Pipe;

/// More than Tree looks at closely.
constexpr int kZombies = 600;
constexpr char kCookie[] = "REAPCTL_COOKIE_TREETEST=1";
constexpr core::Rung kTerm{.signal = SIGTERM, .if_ignored = {}, .bound = {}};
const core::TimePoint kNow{std::chrono::hours(1000)};

class TreeInStorm : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    ASSERT_FALSE(sys::has_children());
    CgroupGround ground{.path = base_.path().string(),
                        .directory = sys::UniqueFd(::open(base_.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC))};
    auto made = RunCgroup::make(std::move(ground), "00112233445566AA");
    ASSERT_TRUE(made) << made.error().message();
    cgroup_.emplace(made.take());
    for (const char* file : {"cgroup.procs", "cgroup.kill", "cgroup.freeze"}) control(file, "");
  }
  void TearDown() override {
    while (sys::has_children()) {
      for (const pid_t pid : test::children_of(::getpid())) test::send_signal(pid, SIGKILL);
      (void)::waitpid(-1, nullptr, 0);
    }
    (void)::prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
  }

  void control(const std::string& file, const std::string& text) const {
    test::write_file(cgroup_->path() + "/" + file, text);
  }
  [[nodiscard]] std::string control(const std::string& file) const {
    return test::read_file(cgroup_->path() + "/" + file);
  }

  /// A child that hears no SIGTERM.
  [[nodiscard]] pid_t start() const {
    const pid_t pid = test::must_fork();
    if (pid == 0) {
      (void)::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
      (void)::signal(SIGTERM, SIG_IGN);
      const char ready = '.';
      if (::write(news_.writer.get(), &ready, 1) != 1) ::_exit(99);
      while (true) (void)::pause();
    }
    char ready = 0;
    EXPECT_EQ(::read(news_.reader.get(), &ready, 1), 1);
    return pid;
  }

  static void leave_zombies() {
    std::vector<pid_t> pids;
    for (int i = 0; i < kZombies; ++i) {
      pids.push_back(test::must_fork());
      if (pids.back() == 0) ::_exit(0);
    }
    for (const pid_t pid : pids) {
      siginfo_t info{};
      ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT), 0);
    }
  }
  static void reap_zombies() {
    for (int left = kZombies; left > 0; --left) {
      siginfo_t info{};
      ASSERT_EQ(::waitid(P_ALL, 0, &info, WEXITED), 0);
    }
  }

  [[nodiscard]] static bool is_ended(pid_t pid) { return sys::peek_ended(pid).has_value(); }

  test::TempDir base_;
  std::optional<RunCgroup> cgroup_;
  proc::ProcFs proc_;
  Pipe news_;
};

TEST_F(TreeInStorm, TheBlowAtTheCgroupLeavesZombiesThatAreReapedBeforeAnybodyIsKilledByPid) {
  const pid_t escaped = start();
  leave_zombies();
  Tree tree(proc_, kCookie);
  tree.use_cgroup(&*cgroup_);
  const auto first = tree.kill(kNow);
  EXPECT_EQ(control("cgroup.kill"), "1");
  ASSERT_TRUE(first);
  EXPECT_GT(first->living, 0) << "there is more to do";
  EXPECT_EQ(first->newest_kill, kNow) << "at once";
  EXPECT_EQ(tree.children_seen(), kZombies + 1U);
  reap_zombies();
  EXPECT_FALSE(is_ended(escaped)) << "by pid already";
  ASSERT_TRUE(tree.kill(kNow));
  EXPECT_TRUE(test::await_end(escaped)) << "who has left the cgroup is not forgotten";
}

TEST_F(TreeInStorm, TheSecondBlowIsByPidEvenIfTheZombiesDoNotEnd) {
  const pid_t escaped = start();
  leave_zombies();
  Tree tree(proc_, kCookie);
  tree.use_cgroup(&*cgroup_);
  (void)tree.kill(kNow);
  while (!tree.kill(kNow)) continue;  // a pass that is not over
  EXPECT_TRUE(test::await_end(escaped));
}

TEST_F(TreeInStorm, WithoutMuchToReapTheCgroupAndWhoLeftItDieAtOnce) {
  const pid_t escaped = start();
  Tree tree(proc_, kCookie);
  tree.use_cgroup(&*cgroup_);
  ASSERT_TRUE(tree.kill(kNow));
  EXPECT_EQ(control("cgroup.kill"), "1");
  EXPECT_TRUE(test::await_end(escaped));
}

TEST_F(TreeInStorm, BehindABacklogOnlyThoseWhoWereToldAreLookedAtBeforeTheKill) {
  const pid_t told = start();
  leave_zombies();
  Tree tree(proc_, kCookie);
  EXPECT_EQ(tree.tell(kTerm, core::Scope::tree, {}, false), 1);
  (void)start();
  const auto before = tree.begin_killing(true);
  EXPECT_TRUE(tree.killing());
  EXPECT_EQ(before.told, 1);
  ASSERT_EQ(before.stayed.size(), 1U);
  EXPECT_EQ(before.stayed.front().id.pid, told);
  EXPECT_EQ(before.alive, 1);
  EXPECT_EQ(tree.told(), 1);
}

/// Whoever is killed with the cgroup has stayed until then; who ended of the rung before has not.
TEST_F(TreeInStorm, TheBlowAtTheCgroupComesBeforeTheLook) {
  const pid_t stays = start();
  const pid_t goes = start();
  control("cgroup.procs", std::to_string(stays) + "\n" + std::to_string(goes) + "\n");
  leave_zombies();
  Tree tree(proc_, kCookie);
  tree.use_cgroup(&*cgroup_);
  EXPECT_EQ(tree.tell(kTerm, core::Scope::tree, {}, false), 2);
  test::send_signal(goes, SIGUSR1);
  test::send_signal(stays, SIGKILL);  // as if by the cgroup
  ASSERT_TRUE(test::await_end(goes));
  ASSERT_TRUE(test::await_end(stays));
  const auto before = tree.begin_killing(true);
  EXPECT_EQ(control("cgroup.kill"), "1");
  EXPECT_EQ(before.told, 2);
  ASSERT_EQ(before.stayed.size(), 1U);
  EXPECT_EQ(before.stayed.front().id.pid, stays);
}

TEST_F(TreeInStorm, WithoutABacklogTheKillTellsEverybody) {
  const pid_t told = start();
  Tree tree(proc_, kCookie);
  EXPECT_EQ(tree.tell(kTerm, core::Scope::tree, {}, false), 1);
  (void)start();
  const auto before = tree.begin_killing(true);  // of zombies, but the last look has met no storm
  EXPECT_EQ(before.told, 1);
  ASSERT_EQ(before.stayed.size(), 1U);
  EXPECT_EQ(before.stayed.front().id.pid, told);
  EXPECT_EQ(before.alive, 2);
  EXPECT_EQ(tree.told(), 2);
  EXPECT_TRUE(tree.killing());
}

/// With a cgroup the list of children says that this is a storm, and nothing else of it is needed. Here it has no end:
/// the list is a FIFO, and whoever asks for more than there is in it waits for ever.
TEST_F(TreeInStorm, TheListOfAStormIsNotReadToItsEnd) {
  const testing::FakeProc fake{{"thread-self/unused", ""}};
  const std::string list = fake.root() + "/thread-self/children";
  std::filesystem::remove(list);
  ASSERT_EQ(::mkfifo(list.c_str(), 0600), 0);
  const sys::UniqueFd fifo(::open(list.c_str(), O_RDWR | O_CLOEXEC));
  std::string pids;
  for (int pid = 10'000; pid < 10'000 + 5 * kZombies; ++pid) pids += std::to_string(pid) + " ";
  ASSERT_EQ(::write(fifo.get(), pids.data(), pids.size()), static_cast<ssize_t>(pids.size()));
  const pid_t member = start();
  control("cgroup.procs", std::to_string(member) + "\n");
  fake.put({std::to_string(member) + "/stat", test::read_file("/proc/" + std::to_string(member) + "/stat")});
  const proc::ProcFs proc(fake.root());
  EXPECT_TRUE(test::holds_when_forked([&] {
    (void)::alarm(20);  // or the read of the FIFO would not end
    Tree tree(proc, kCookie);
    tree.use_cgroup(&*cgroup_);
    return tree.living().size() == 1;
  }));
  std::string unread(pids.size(), ' ');
  ASSERT_GT(::read(fifo.get(), unread.data(), unread.size()), 0);
  ASSERT_EQ(::write(fifo.get(), pids.data(), pids.size()), static_cast<ssize_t>(pids.size()));
  EXPECT_TRUE(test::holds_when_forked([&] {
    (void)::alarm(20);
    return Tree(proc, kCookie).adopted_children(1).empty();
  })) << "for there are too many";
}

TEST_F(TreeInStorm, ARungIsForThoseWhomTheLookBeforeItHasMet) {
  (void)start();
  leave_zombies();
  Tree tree(proc_, kCookie);
  EXPECT_EQ(tree.living().size(), 1U);
  (void)start();
  EXPECT_EQ(tree.tell(kTerm, core::Scope::tree, {}, false), 1);
  EXPECT_EQ(tree.tell(kTerm, core::Scope::tree, {}, false), 2) << "there was no other look before it";
  reap_zombies();
  EXPECT_EQ(tree.living().size(), 2U);
  (void)start();
  EXPECT_EQ(tree.tell(kTerm, core::Scope::tree, {}, false), 3) << "the storm is over";
}

}  // namespace
}  // namespace reapctl::engine
