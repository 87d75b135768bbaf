#include "support/process.hpp"
#include "support/reapctl.hpp"
#include "support/sweep_fixture.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <random>
#include <set>
#include <string>
#include <sys/wait.h>
#include <vector>

#include <gtest/gtest.h>

/// --lock under fire: many starters at once, and random SIGKILLs.
namespace reapctl::test {
namespace {

namespace fs = std::filesystem;

class LockContest : public SweepFixture {
 protected:
  /// The command and whatever it leaves hold one lock of flock(1) for as long as one of them lives: who cannot get that
  /// has begun while another one's tree was alive. 99 is for that alone.
  [[nodiscard]] Args command() const {
    return sh("exec 9>>'" + arena_ + "'; flock -n 9 || { echo double >>'" + verdicts_ + "'; exit 99; }; echo had >>'" +
              verdicts_ + "'; setsid sh -c 'exec sleep 0.05' & setsid sh -c 'exec sleep 60' & sleep 0.02");
  }

  std::unique_ptr<Reapctl> starter(const std::string& policy = "wait=60s") {
    Args args{"run", "--report", "none", "--no-workdir", "--lock", "x", "--on-overlap", policy, "--"};
    for (const std::string& word : command()) args.push_back(word);
    return std::make_unique<Reapctl>(Launch{.args = std::move(args), .env = environment_, .leaves_processes = true});
  }

  /// SIGKILL to one reapctl process of a starter, or to all of them, that is to a helper too. The front is our child
  /// and not reaped, and while it is stopped it reaps nobody: the pids are their own.
  void kill_some(pid_t front, unsigned kind) {
    (void)::kill(front, SIGSTOP);
    std::vector<pid_t> others;
    for (const pid_t child : children_of(front)) {
      std::error_code gone;
      if (fs::read_symlink("/proc/" + std::to_string(child) + "/exe", gone) == reapctl_path()) others.push_back(child);
    }
    if (kind != 0) {
      for (const pid_t other : others) (void)::kill(other, SIGKILL);
    }
    if (kind != 1) (void)::kill(front, SIGKILL);
    (void)::kill(front, SIGCONT);
  }

  [[nodiscard]] std::ptrdiff_t count(const std::string& word) const {
    std::ptrdiff_t found = 0;
    const std::string text = read_file(verdicts_);
    for (std::size_t at = 0; (at = text.find(word + "\n", at)) != std::string::npos; ++at) ++found;
    return found;
  }

  std::string arena_ = directory_ / "arena";
  std::string verdicts_ = directory_ / "verdicts";
};

TEST_F(LockContest, FiftyAtOnceUnderRandomKillsNeverTwoHoldersNeverAStuckLock) {
  const char* wanted = std::getenv("REAPCTL_TEST_CYCLES");
  const int rounds = wanted != nullptr ? std::atoi(wanted) : 1;
  constexpr int kStarters = 50;
  const auto seed = static_cast<unsigned>(std::time(nullptr));
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::minstd_rand random(seed);
  int killed = 0;
  for (int round = 0; round < rounds; ++round) {
    std::vector<std::unique_ptr<Reapctl>> starters;
    // Most wait for their turn; those who kill and those who give way come in between.
    constexpr std::array kPolicies = {"wait=60s", "wait", "wait=60s", "wait", "wait", "kill", "skip", "fail"};
    for (int i = 0; i < kStarters; ++i) starters.push_back(starter(kPolicies[random() % kPolicies.size()]));
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!starters.empty() && std::chrono::steady_clock::now() < deadline) {
      // Not to synchronise, but to hit every instant there is.
      const timespec delay{.tv_sec = 0, .tv_nsec = static_cast<long>(random() % 30'000'000)};
      ::nanosleep(&delay, nullptr);
      for (auto each = starters.begin(); each != starters.end();) {
        siginfo_t end{};
        const auto pid = static_cast<id_t>((*each)->pid());
        if (::waitid(P_PID, pid, &end, WEXITED | WNOHANG | WNOWAIT) == 0 && end.si_pid == 0) {
          ++each;
          continue;
        }
        const Outcome outcome = (*each)->wait();
        const std::set<int> of_a_loser_or_a_holder_that_was_stopped = {75, 125, 128 + SIGINT, 128 + SIGTERM,
                                                                       128 + SIGKILL};
        EXPECT_TRUE(outcome.killed_by() == SIGKILL || outcome.code() == 0 ||
                    of_a_loser_or_a_holder_that_was_stopped.contains(outcome.code()))
            << outcome.code() << outcome.err;
        each = starters.erase(each);
      }
      if (starters.empty() || random() % 2 == 0) continue;
      ++killed;
      kill_some(starters[random() % starters.size()]->pid(), static_cast<unsigned>(random() % 3));
    }
    EXPECT_TRUE(starters.empty()) << starters.size() << " are stuck";
  }
  EXPECT_EQ(count("double"), 0) << "two had the lock";
  EXPECT_GT(count("had"), 0);
  const Outcome last = starter()->wait();
  EXPECT_EQ(last.code(), 0) << "a stuck lock: " << last.err;
  (void)sweep({"--ladder", "KILL"});
  EXPECT_TRUE(nothing_on_record());
  EXPECT_EQ(count("double"), 0);
  RecordProperty("killed", killed);
  std::printf("%d starters, %d kills, %d had the lock, one at a time\n", rounds * kStarters, killed,
              static_cast<int>(count("had")));
}

}  // namespace
}  // namespace reapctl::test
