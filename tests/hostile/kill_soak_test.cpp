#include "support/environment.hpp"
#include "support/json_sink.hpp"
#include "support/process.hpp"
#include "support/reapctl.hpp"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <fcntl.h>
#include <filesystem>
#include <random>
#include <string>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

/// SIGKILL to the guard, the supervisor or both at a random instant of a run, from the start to the last unlink.
/// However early or late it comes: nothing is left (after one sweep, when both were killed), and as long as one of them
/// lives there is one report.
namespace reapctl::test {
namespace {

namespace fs = std::filesystem;

enum class Victim { guard, supervisor, both };

class KillSoak : public testing::Test {
 protected:
  KillSoak() { fs::create_directory(base_); }
  ~KillSoak() override { (void)kill_leftovers({}); }

  /// Every second command lives on, every other ends at once and leaves somebody.
  void cycle(unsigned number) {
    const auto victim = static_cast<Victim>(random_() % 3);
    const bool lives_on = number % 2 == 0;
    const int report = ::memfd_create("report", MFD_CLOEXEC);
    Args args = {"run",
                 "--report",
                 "fd:3",
                 "--workdir-base",
                 base_,
                 "--ladder",
                 "INT/TERM:100ms,KILL",
                 "--",
                 misbehave_path(),
                 "fork",
                 "[",
                 "setsid",
                 "]"};
    if (!lives_on) args.emplace_back("exit=0");
    Reapctl run({.args = std::move(args),
                 .env = {{"REAPCTL_REGISTRY", registry_}},
                 .fds = {{3, report}},
                 .leaves_processes = true});
    // Not to synchronise, but to hit every instant there is.
    const timespec delay{.tv_sec = 0, .tv_nsec = static_cast<long>(random_() % kLongestDelayNs)};
    ::nanosleep(&delay, nullptr);
    const bool supervised = strike(run.pid(), victim);
    if (victim == Victim::supervisor && !supervised) run.send(SIGTERM);  // it was not there yet, or not any more
    const Outcome outcome = run.wait();
    EXPECT_TRUE(await([] { return nobody_left(); }, victim == Victim::both ? std::chrono::seconds(0) : kPatience) ||
                victim == Victim::both || !supervised)
        << describe_tree(::getpid());
    if (victim == Victim::both || !supervised) sweep();
    const std::string text = read_file("/proc/self/fd/" + std::to_string(report));
    ::close(report);
    check(victim, supervised, text, outcome);
  }

  /// True if there was a supervisor at that instant.
  bool strike(pid_t front, Victim victim) {
    if (victim != Victim::supervisor) (void)::kill(front, SIGSTOP);  // our child, not reaped: the pid is its own
    pid_t supervisor = -1;
    for (const pid_t child : children_of(front)) {
      std::error_code gone;
      if (fs::read_symlink("/proc/" + std::to_string(child) + "/exe", gone) == reapctl_path()) supervisor = child;
    }
    // A stopped parent does not reap it: its pid stays its own.
    if (supervisor > 1 && victim == Victim::both) (void)::kill(supervisor, SIGSTOP);
    if (supervisor > 1 && victim != Victim::guard) (void)::kill(supervisor, SIGKILL);
    if (victim != Victim::supervisor) (void)::kill(front, SIGKILL);
    ++counts_[static_cast<std::size_t>(victim)];
    if (supervisor <= 1) ++without_supervisor_;
    return supervisor > 1;
  }

  static bool nobody_left() {
    while (::waitpid(-1, nullptr, WNOHANG | __WALL) > 0) continue;
    return children_of(::getpid()).empty();
  }

  void sweep() {
    // Who was killed may still be dying, and a command about to begin may hold the lock: the sweep waits for that.
    EXPECT_EQ(
        run({.args = {"sweep", "--ladder", "KILL"}, .env = {{"REAPCTL_REGISTRY", registry_}}, .leaves_processes = true})
            .code(),
        0);
    EXPECT_TRUE(await([] { return nobody_left(); })) << describe_tree(::getpid());
  }

  void check(Victim victim, bool supervised, const std::string& text, const Outcome& outcome) {
    std::error_code absent;
    EXPECT_TRUE(fs::is_empty(base_));
    EXPECT_TRUE(!fs::exists(registry_) || fs::is_empty(registry_, absent));
    const auto lines = std::count(text.begin(), text.end(), '\n');
    // Before there were two, the death of the one (of SIGTERM as well, before it is even in main) is that of both.
    if (victim == Victim::both || !supervised) {
      EXPECT_LE(lines, 1) << text;
      return;
    }
    ASSERT_EQ(lines, 1) << (victim == Victim::guard ? "guard " : "supervisor ") << outcome.wait_status << text
                        << outcome.err;
    keep_json("report", text.substr(0, text.find('\n')));
    ++results_[nlohmann::json::parse(text, nullptr, false).value("result", "none")];
  }

  static constexpr unsigned kLongestDelayNs = 14'000'000;

  TempDir directory_;
  std::string base_ = directory_ / "base";
  std::string registry_ = directory_ / "registry";
  std::minstd_rand random_;
  unsigned counts_[3] = {};
  unsigned without_supervisor_ = 0;
  std::map<std::string, int> results_;
};

TEST_F(KillSoak, AtAnyInstantNothingIsLeft) {
  const char* wanted = std::getenv("REAPCTL_TEST_CYCLES");
  const unsigned cycles = wanted != nullptr ? static_cast<unsigned>(std::atoi(wanted)) : 90;
  const auto seed = static_cast<unsigned>(std::time(nullptr));
  random_.seed(seed);
  for (unsigned number = 0; number < cycles && !HasFailure(); ++number) {
    SCOPED_TRACE("seed " + std::to_string(seed) + ", cycle " + std::to_string(number));
    cycle(number);
  }
  std::printf("killed: %u guards, %u supervisors, %u both; no supervisor at that instant: %u; reports:", counts_[0],
              counts_[1], counts_[2], without_supervisor_);
  for (const auto& [result, count] : results_) std::printf(" %s %d", result.c_str(), count);
  std::printf("\n");
}

}  // namespace
}  // namespace reapctl::test
