#include "core/matching.hpp"
#include "core/victims.hpp"
#include "support/picture.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace reapctl::core {
namespace {

using test::kSweeper;
using test::pids;
using test::process;
using test::run_of;
using test::select;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

Selection select_one(const std::vector<OwningRun>& runs, const std::vector<ProcessFacts>& processes,
                     std::optional<pid_t> named = {}) {
  const Matches matches{.matched = {{0, {"match-env"}}}, .unreadable = {}, .named = named};
  return select_matched(runs, matches, processes, attribute(runs, processes, {}), kSweeper);
}

/// A shell of the run A, in it the guard and supervisor of a run X that is not on record here, and X's command.
std::vector<ProcessFacts> inner_run_elsewhere() {
  return {process(20, 1, {"A"}, "sh"),
          process(21, 20, {"A"}, "reapctl"),
          process(22, 21, {"A"}, "reapctl"),
          process(23, 22, {"A", "X"}),
          process(24, 23),
          process(25, 22)};
}

TEST(Unrecorded, ItsReapctlAndDescendantsAreProtectedAndNobodyElse) {
  const auto processes = inner_run_elsewhere();
  const Selection selection = select({run_of("A", Verdict::orphaned)}, processes);
  EXPECT_THAT(pids(selection, processes), ElementsAre(20));
  ASSERT_THAT(selection.unknown, SizeIs(5));
  EXPECT_THAT(selection.unknown[0].reason, HasSubstr("run X"));
  EXPECT_THAT(selection.unknown[0].runs, ElementsAre(0));
}

TEST(Unrecorded, AStrayThatInitHasAdoptedMakesNobodyElseDoubtful) {
  const std::vector<ProcessFacts> processes = {process(1, 0, {}, "init"), process(20, 1, {"A"}), process(21, 20),
                                               process(30, 1, {"X"})};
  const Selection selection = select({run_of("A", Verdict::orphaned)}, processes);
  EXPECT_THAT(pids(selection, processes), ElementsAre(20, 21));
  EXPECT_THAT(selection.unknown, IsEmpty());
}

TEST(Unrecorded, ALockHeldOpenTellsOfARunWithoutCookies) {
  std::vector<ProcessFacts> processes = {process(20, 1, {"A"}), process(21, 20, {"A"}), process(22, 21)};
  EXPECT_THAT(select({run_of("A", Verdict::orphaned)}, processes).victims, SizeIs(3));
  processes[1].supervises = "X";
  EXPECT_THAT(pids(select({run_of("A", Verdict::orphaned)}, processes), processes), ElementsAre(20));
}

TEST(Unrecorded, AnOrphanInsideOfItIsSweptAllTheSame) {
  const std::vector<ProcessFacts> processes = {process(20, 1, {"X"}), process(21, 20, {"X", "A"}), process(22, 21)};
  EXPECT_THAT(pids(select({run_of("A", Verdict::orphaned, {"X"})}, processes), processes), ElementsAre(21, 22));
}

TEST(Unrecorded, TheCommandOfAnOrphanMayBeTheReapctlOfAnActiveRun) {
  for (const bool inner_first : {true, false}) {
    OwningRun outer = run_of("A", Verdict::orphaned);
    outer.record.main = MainOnRecord{.id = {.pid = 20, .start_ticks = 50}};
    OwningRun inner = run_of("B", Verdict::active, {"A"});
    inner.record.guard = ProcessId{.pid = 20, .start_ticks = 50};
    const auto runs = inner_first ? std::vector{inner, outer} : std::vector{outer, inner};
    EXPECT_THAT(select(runs, {process(20, 1, {"A"}), process(21, 20, {"A"})}).victims, IsEmpty());
  }
}

TEST(Unrecorded, MatchingProtectsItAsWell) {
  auto processes = inner_run_elsewhere();
  for (ProcessFacts& each : processes) std::erase(each.cookies, "A");  // nothing but X was started by a reapctl
  const Selection selection = select_one({}, processes);
  EXPECT_THAT(pids(selection, processes), ElementsAre(20));
  EXPECT_THAT(selection.unknown, SizeIs(5));
}

TEST(Matching, SparesActiveRunsAndTheSweeperWithoutADoubtUnlessNamed) {
  const std::vector<OwningRun> runs = {run_of("A", Verdict::active)};
  const std::vector<ProcessFacts> in_run = {process(20, 1, {"A"})};
  EXPECT_THAT(select_one(runs, in_run).spared, SizeIs(1));
  EXPECT_THAT(select_one(runs, in_run).unknown, IsEmpty());
  EXPECT_THAT(select_one(runs, in_run, 20).unknown, SizeIs(1));
  EXPECT_THAT(select_one({}, {process(8999, 1)}).spared, SizeIs(1));
  EXPECT_THAT(select_one({}, {process(8999, 1)}).victims, IsEmpty());
}

TEST(Matching, WhoCannotBeReadIsUnknownUnlessAnActiveRunHasIt) {
  const std::vector<OwningRun> runs = {run_of("A", Verdict::active)};
  const std::vector<ProcessFacts> processes = {process(20, 1), process(21, 1, {"A"})};
  const Matches matches{.matched = {}, .unreadable = {{0, "its file cannot be read"}, {1, "…"}}, .named = {}};
  const Selection selection = select_matched(runs, matches, processes, attribute(runs, processes, {}), kSweeper);
  EXPECT_THAT(selection.victims, IsEmpty());
  ASSERT_THAT(selection.unknown, SizeIs(1));
  EXPECT_EQ(selection.unknown[0].reason, "its file cannot be read");
  EXPECT_THAT(selection.spared, SizeIs(1));
}

TEST(Matching, OneNoSettlesItAndOneUnreadableLeavesItOpen) {
  const Criterion yes{.name = "match-env", .what = "its environment", .holds = Holds::yes};
  const Criterion no{.name = "match-pid", .what = "", .holds = Holds::no};
  const Criterion unreadable{.name = "match-cwd", .what = "its directory", .holds = Holds::unreadable};
  EXPECT_THAT(judge({yes, yes}).names, ElementsAre("match-env", "match-env"));
  EXPECT_EQ(judge({yes, unreadable}).holds, Holds::unreadable);
  EXPECT_EQ(judge({yes, unreadable}).unreadable, "its directory");
  EXPECT_THAT(judge({yes, unreadable}).names, IsEmpty());
  EXPECT_EQ(judge({unreadable, no}).holds, Holds::no);
}

TEST(Matching, KnowsADeletedFileByItsName) {
  EXPECT_TRUE(leads_to("/opt/x", "/opt/x"));
  EXPECT_TRUE(leads_to("/opt/x (deleted)", "/opt/x"));
  EXPECT_FALSE(leads_to("/opt/xy", "/opt/x"));
}

TEST(Ownership, ARecordOfAnotherUserIsBelievedOfHisProcessesAndTheirDescendantsOnly) {
  OwningRun forged = run_of("A", Verdict::orphaned);
  forged.only_of = 65534;
  forged.record.main = MainOnRecord{.id = {.pid = 20, .start_ticks = 50}};
  OwningRun real = run_of("B", Verdict::active);
  real.record.supervisor = {.pid = 20, .start_ticks = 50};
  std::vector<ProcessFacts> processes = {process(20, 1), process(21, 20)};
  processes[0].uid = 0;
  EXPECT_FALSE(attribute({forged}, processes, {})[0]);
  EXPECT_FALSE(attribute({forged}, processes, {})[1]);
  for (const auto& runs : {std::vector{forged, real}, std::vector{real, forged}}) {
    const auto owners = attribute(runs, processes, {});
    ASSERT_TRUE(owners[1]);
    EXPECT_EQ(runs[owners[1]->run].record.run_id, "B");
  }
  processes[0].uid = 65534;
  EXPECT_TRUE(attribute({forged}, processes, {})[1]);
}

TEST(Victims, WhoCannotBeReadHoldsBackEveryRunThatItMayBelongTo) {
  ProcessFacts closed = process(60, 1);
  closed.environ_readable = false;
  closed.uid = 1000;
  const Selection selection = select({run_of("A", Verdict::orphaned), run_of("B", Verdict::orphaned)}, {closed});
  ASSERT_THAT(selection.unknown, SizeIs(1));
  EXPECT_THAT(selection.unknown[0].runs, ElementsAre(0, 1));
}

TEST(Victims, WhoWasLeftBehindIsKnownByTheRecord) {
  OwningRun run = run_of("A", Verdict::orphaned);
  run.record.leftovers = {{.pid = 20, .start_ticks = 50}};
  EXPECT_THAT(select({run}, {process(20, 1), process(21, 20)}).victims, SizeIs(2));
}

}  // namespace
}  // namespace reapctl::core
