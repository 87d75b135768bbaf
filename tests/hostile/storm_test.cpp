#include "support/namespace.hpp"
#include "support/process.hpp"
#include "support/reapctl.hpp"
#include "support/world.hpp"

#include <cctype>
#include <csignal>
#include <filesystem>
#include <functional>
#include <string>
#include <sys/wait.h>
#include <tuple>
#include <unistd.h>

#include <gtest/gtest.h>

/// Fact 20: sixty-four chains of processes that fork and exit for ever, each hop a new pid, without a cgroup to end
/// them at one blow. Zombies come as fast as they are reaped, so whoever reaps until there are none hears nothing any
/// more: what a test expects here happens, or does not happen as long as the storm lasts, however fast the machine is.
namespace reapctl::test {
namespace {

namespace fs = std::filesystem;

/// For a signal to be heard, or for all to be over: on two cores both take a second or two.
constexpr std::chrono::seconds kStormPatience{25};

/// By PID 1, who lets the one whom somebody waits for be.
void reap_all_but(pid_t pid) {
  siginfo_t info{};
  while (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0 && info.si_pid != 0) {
    if (info.si_pid == pid) return;
    (void)::waitpid(info.si_pid, nullptr, __WALL);
    info.si_pid = 0;
  }
}

bool has_no_children() {
  pid_t ended = 0;
  for (int i = 0; i < 10'000 && (ended = ::waitpid(-1, nullptr, WNOHANG | __WALL)) > 0; ++i) continue;
  return ended < 0;
}

using Row = std::tuple<const char*, User>;

class Storm : public testing::TestWithParam<Row> {
 protected:
  void SetUp() override {
    REQUIRE_PID_NAMESPACE();
    if (const std::string obstacle = storm_obstacle(); !obstacle.empty()) GTEST_SKIP() << obstacle;
    if (user() == User::nobody && ::geteuid() != 0) GTEST_SKIP() << "needs root to become somebody else";
  }

  [[nodiscard]] static User user() { return std::get<User>(GetParam()); }

  /// A run with the storm in it.
  [[nodiscard]] static Reapctl start(const Roster& roster, Args options) {
    options.insert(options.end(), {"--contain", "subreaper", "--ladder", "TERM:100ms,KILL"});
    return Reapctl(run_of(std::move(options), misbehave(roster, {"on=USR1:say=heard", "ignore=TERM",
                                                                 std::get<const char*>(GetParam()), "ready=main"})));
  }

  /// By PID 1: nobody is there besides it.
  [[nodiscard]] static bool alone() {
    while (::waitpid(-1, nullptr, WNOHANG | __WALL) > 0) continue;
    for (const auto& entry : fs::directory_iterator("/proc")) {
      const std::string name = entry.path().filename();
      if (name != "1" && std::isdigit(static_cast<unsigned char>(name[0])) != 0) return false;
    }
    return true;
  }

  static void expect_all_gone(const Outcome& outcome) {
    EXPECT_TRUE(await(alone));
    EXPECT_TRUE(outcome.report["tree"]["survivors"].empty()) << outcome.report_text;
    EXPECT_GE(outcome.report["tree"]["reaped"].get<int>(), 64) << "this was no storm";
    ASSERT_FALSE(outcome.report["stop"]["rungs"].empty()) << outcome.report_text;
    EXPECT_EQ(outcome.report["stop"]["rungs"].back()["signal_name"], "KILL");
  }
};

TEST_P(Storm, SignalsAreHeardAndAStopEndsIt) {
  in_a_world_apart(user(), [](const World& /*world*/) {
    Roster roster;
    Reapctl reapctl = start(roster, {});
    ASSERT_EQ(roster.next().role, "main");
    reapctl.send(SIGUSR1);
    EXPECT_EQ(roster.next(kStormPatience).role, "heard") << "the command has not got what was sent to reapctl";
    reapctl.send(SIGTERM);
    const Outcome outcome = reapctl.wait(kStormPatience);
    EXPECT_EQ(outcome.code(), 128 + SIGKILL) << outcome.err;
    EXPECT_EQ(outcome.report["result"], "stopped") << outcome.report_text;
    EXPECT_EQ(outcome.report["stop"]["cause"], "signal") << outcome.report_text;
    expect_all_gone(outcome);
  });
}

TEST_P(Storm, TheDeadlineIsKept) {
  in_a_world_apart(user(), [](const World& /*world*/) {
    Roster roster;
    const Outcome outcome = start(roster, {"--timeout", "500ms"}).wait(kStormPatience);
    EXPECT_EQ(outcome.code(), 124) << outcome.err;
    EXPECT_EQ(outcome.report["result"], "timeout") << outcome.report_text;
    expect_all_gone(outcome);
  });
}

/// Lives so short that each is over before it can be looked at, whose numbers soon come round again, and a first
/// process that is slow to reap them.
TEST(Chains, ASweepDoesNotTakeThemForNobody) {
  REQUIRE_PID_NAMESPACE();
  if (const std::string obstacle = storm_obstacle(); !obstacle.empty()) GTEST_SKIP() << obstacle;
  in_a_world_apart(User::self, [](const World& world) {
    const std::string registry = world.directory + "/registry";
    write_file("/proc/sys/kernel/pid_max", "1000");
    for (int round = 0; round < 2; ++round) {
      Roster roster;
      Args options{"--contain", "subreaper", "--no-guard", "--report", "none"};
      Launch launch = run_of(std::move(options), misbehave(roster, {"ignore=TERM", "chain=4", "ready=main"}));
      launch.env = {{"REAPCTL_REGISTRY", registry}};
      launch.leaves_processes = true;
      Reapctl reapctl(std::move(launch));
      const Process main = roster.next();
      reapctl.send(SIGKILL);
      send_signal(main.pid, SIGKILL);
      (void)reapctl.wait();
      Reapctl sweeping(Launch{.args = {"sweep", "--ladder", "TERM:2s,KILL"},
                              .env = {{"REAPCTL_REGISTRY", registry}},
                              .leaves_processes = true});
      while (!await_end(sweeping.pid(), std::chrono::milliseconds(100))) reap_all_but(sweeping.pid());
      const Outcome outcome = sweeping.wait();
      const bool on_record = fs::directory_iterator(registry) != fs::directory_iterator();
      EXPECT_EQ(outcome.code() != 0, on_record) << outcome.out << outcome.err;
      // All of them are our children. Of a chain there is always one.
      EXPECT_TRUE(outcome.code() == 4 || await(has_no_children)) << outcome.out << outcome.err;
    }
  });
}

std::string name_of_row(const testing::TestParamInfo<Row>& row) {
  const auto& [chains, user] = row.param;
  return std::string(chains[0] == 's' ? "Sessions" : "Chains") + (user == User::nobody ? "_nobody" : "_self");
}

INSTANTIATE_TEST_SUITE_P(SixtyFour, Storm,
                         testing::Combine(testing::Values("chain=64", "session-chain=64"),
                                          testing::Values(User::self, User::nobody)),
                         name_of_row);

}  // namespace
}  // namespace reapctl::test
