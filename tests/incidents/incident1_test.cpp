#include "support/process.hpp"
#include "support/reapctl.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <iostream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

/// Incident 1, verifiers pull request 1816: cleaning up blocked the loop.
namespace reapctl::test {
namespace {

namespace fs = std::filesystem;

/// A command that leaves 20,000 one-byte files in 20 directories below its working directory: 21 with it.
Args twenty_thousand_files(const Roster& roster, const std::string& then) {
  return {"bash",
          "-c",
          R"(cd "$REAPCTL_WORKDIR" || exit 90
             for d in {1..20}; do mkdir $d; for f in {1..1000}; do printf x > $d/$f; done; done
             exec "$0" --ready "$1" ready=main $2)",
          misbehave_path(),
          roster.path(),
          then};
}

/// 20,000 files on a busy disk take their time.
constexpr std::chrono::seconds kLongPatience{100};

class Incident1 : public testing::Test {
 protected:
  Incident1() { fs::create_directory(base_); }

  void expect_deleted(const Outcome& outcome) const {
    EXPECT_TRUE(fs::is_empty(base_));
    EXPECT_EQ(outcome.report["workdir"]["files"], 20'000);
    EXPECT_EQ(outcome.report["workdir"]["directories"], 21);
    EXPECT_TRUE(outcome.report["workdir"]["errors"].empty());
  }

  TempDir directory_;
  std::string base_ = directory_ / "base";
  Roster roster_;
};

TEST_F(Incident1, TheLoopIsNotBlockedByTheDeletion) {
  const Outcome outcome =
      Reapctl(run_of({"--workdir-base", base_}, twenty_thousand_files(roster_, "exit=0"))).wait(kLongPatience);
  EXPECT_EQ(outcome.code(), 0);
  expect_deleted(outcome);
  EXPECT_GE(outcome.report["workdir"]["threads"], 1);
  const auto stall = outcome.report["loop"]["max_stall_us"].get<std::int64_t>();
  RecordProperty("max_stall_us", static_cast<int>(stall));
  // The promise is 5 ms on an idle machine. Here others share it: what is checked is that the loop did not delete,
  // which takes as long as the report says.
  EXPECT_LT(stall,
            std::max<std::int64_t>(5'000, outcome.report["workdir"]["duration_ms"].get<std::int64_t>() * 1000 / 4));
}

/// When each event happened, in milliseconds since midnight, in the order of the file.
std::vector<std::pair<std::string, std::int64_t>> read_events(const std::string& path) {
  std::vector<std::pair<std::string, std::int64_t>> events;
  std::istringstream lines(read_file(path));
  for (std::string line; std::getline(lines, line);) {
    const auto event = nlohmann::json::parse(line);
    const std::string at = event["at"];  // 2026-11-21T08:00:00.123Z
    const auto number = [&at](std::size_t from, std::size_t count) { return std::stoll(at.substr(from, count)); };
    events.emplace_back(event["event"],
                        ((number(11, 2) * 60 + number(14, 2)) * 60 + number(17, 2)) * 1000 + number(20, 3));
  }
  return events;
}

std::int64_t now_since_midnight_ms() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now % std::chrono::hours(24)).count();
}

TEST_F(Incident1, ASignalIsAnsweredDuringTheDeletion) {
  for (int attempt = 1;; ++attempt) {
    TempDir events_directory;
    const std::string events_file = events_directory / "events";
    Gate gate;
    Roster roster;
    // Word-splitting of `then` is the shell's: "await=FIFO exit=0".
    Reapctl reapctl(run_of({"--workdir-base", base_, "--events", events_file},
                           twenty_thousand_files(roster, "await=" + gate.path() + " exit=0")));
    const Process main = roster.next(kLongPatience);
    gate.open();
    // The command is reaped: from here on reapctl does nothing but delete.
    EXPECT_TRUE(await([&] { return !read_stat(main.pid).has_value(); }));
    const std::int64_t sent_at = now_since_midnight_ms();
    reapctl.send(SIGTERM);
    const Outcome outcome = reapctl.wait(kLongPatience);
    EXPECT_EQ(outcome.report["exit"]["code"], 0);
    expect_deleted(outcome);

    const auto events = read_events(events_file);
    const auto named = [&](const std::string& name) {
      return std::find_if(events.begin(), events.end(), [&](const auto& event) { return event.first == name; });
    };
    ASSERT_NE(named("signal"), events.end());
    ASSERT_NE(named("workdir"), events.end());
    if (named("workdir") < named("signal") && attempt < 5) continue;  // this test came too late
    ASSERT_LT(named("signal"), named("workdir"));
    const std::int64_t latency_ms = named("signal")->second - sent_at;
    const auto stall_us = outcome.report["loop"]["max_stall_us"].get<std::int64_t>();
    const auto deletion_ms = outcome.report["workdir"]["duration_ms"].get<std::int64_t>();
    std::cout << "deletion " << deletion_ms << " ms, signal answered after " << latency_ms << " ms, longest stall "
              << stall_us << " us\n";
    RecordProperty("latency_ms", static_cast<int>(latency_ms));
    // Answered while the deletion went on, as the order above says; how soon, depends on who else wants the processors:
    // 5 ms are promised where nobody does.
    EXPECT_LE(latency_ms, deletion_ms);
    EXPECT_LE(stall_us, std::max<std::int64_t>(5'000, deletion_ms * 1000 / 4));
    return;
  }
}

TEST_F(Incident1, RequestsToStopDuringTheDeletionDoNotAbandonIt) {
  Gate gate;
  Reapctl reapctl(
      run_of({"--workdir-base", base_}, twenty_thousand_files(roster_, "await=" + gate.path() + " exit=0")));
  const Process main = roster_.next(kLongPatience);
  gate.open();
  EXPECT_TRUE(await([&] { return !read_stat(main.pid).has_value(); }));
  for (int i = 0; i < 3; ++i) reapctl.send(i % 2 == 0 ? SIGTERM : SIGINT);
  expect_deleted(reapctl.wait(kLongPatience));
}

TEST_F(Incident1, NoHelperThreadExistsBeforeTheLastProcessIsDead) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer has a thread of its own";
#endif
  Reapctl reapctl(run_of({"--workdir-base", base_}, misbehave(roster_, {"ready=main"})));
  const Process main = roster_.next(kLongPatience);
  EXPECT_EQ(read_stat(supervisor_of(main)).value_or(ProcStat{}).threads, 1);
  reapctl.send(SIGTERM);
  EXPECT_EQ(reapctl.wait().code(), 130);
}

}  // namespace
}  // namespace reapctl::test
