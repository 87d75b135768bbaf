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

TEST(Ownership, ByRecordCookieAndDescentWithTheReasons) {
  const std::vector<OwningRun> runs = {run_of("A", Verdict::orphaned, {}, {.pid = 20, .start_ticks = 50})};
  const std::vector<ProcessFacts> processes = {process(22, 21), process(21, 20), process(20, 1, {"A"}),
                                               process(23, 1, {"A"}), process(24, 1)};
  const Selection selection = select(runs, processes);
  EXPECT_THAT(pids(selection, processes), ElementsAre(22, 21, 20, 23));
  EXPECT_THAT(selection.victims[0].identified_by, ElementsAre("descendant"));
  EXPECT_THAT(selection.victims[2].identified_by, ElementsAre("recorded", "cookie"));
  EXPECT_THAT(selection.victims[3].identified_by, ElementsAre("cookie"));
}

TEST(Ownership, ByTheCgroupAloneAndByTheInnermostOfSeveral) {
  const std::vector<OwningRun> runs = {run_of("A", Verdict::orphaned), run_of("B", Verdict::active, {"A"})};
  ProcessFacts outer = process(20, 1);
  outer.cgroups = {"A"};
  ProcessFacts inner = process(21, 1);
  inner.cgroups = {"A", "B"};
  const Selection selection = select(runs, {outer, inner});
  ASSERT_THAT(selection.victims, SizeIs(1));
  EXPECT_EQ(selection.victims[0].process, 0U);
  EXPECT_THAT(selection.victims[0].identified_by, ElementsAre("cgroup"));
}

TEST(Ownership, ACgroupMakesAnUnreadableEnvironmentGoodEnough) {
  ProcessFacts closed = process(20, 1);
  closed.environ_readable = false;
  closed.uid = 1000;
  EXPECT_THAT(select({run_of("A", Verdict::orphaned)}, {closed}).victims, IsEmpty());
  closed.cgroups = {"A"};
  const Selection selection = select({run_of("A", Verdict::orphaned)}, {closed});
  EXPECT_THAT(selection.victims, SizeIs(1));
  EXPECT_THAT(selection.unknown, IsEmpty());
}

TEST(Ownership, APidWithAnotherStartIsNobody) {
  const std::vector<OwningRun> runs = {run_of("A", Verdict::orphaned, {}, {.pid = 20, .start_ticks = 49})};
  EXPECT_THAT(select(runs, {process(20, 1)}).victims, IsEmpty());
}

TEST(Ownership, TheInnermostRunDecidesWhateverTheOrderOfTheCookies) {
  const std::vector<OwningRun> runs = {run_of("A", Verdict::orphaned), run_of("B", Verdict::active, {"A"})};
  EXPECT_THAT(select(runs, {process(20, 1, {"A", "B"}), process(21, 1, {"B", "A"})}).victims, IsEmpty());
  const std::vector<OwningRun> other = {run_of("A", Verdict::active), run_of("B", Verdict::orphaned, {"A"})};
  EXPECT_THAT(select(other, {process(20, 1, {"A", "B"}), process(21, 1, {"B", "A"})}).victims, SizeIs(2));
}

TEST(Ownership, AReapctlInsideOfAnOrphanBelongsToItsOwnRun) {
  OwningRun inner = run_of("B", Verdict::active, {"A"});
  inner.record.supervisor = {.pid = 30, .start_ticks = 50};
  const std::vector<OwningRun> runs = {run_of("A", Verdict::orphaned), inner};
  // Its environment has the outer cookie only, and its child has none at all.
  EXPECT_THAT(select(runs, {process(30, 20, {"A"}), process(31, 30)}).victims, IsEmpty());
}

TEST(Ownership, TwoRunsThatKnowNothingOfEachOtherGiveTheBenefitOfTheDoubt) {
  const std::vector<OwningRun> runs = {run_of("A", Verdict::orphaned), run_of("B", Verdict::released)};
  EXPECT_THAT(select(runs, {process(20, 1, {"A", "B"})}).victims, IsEmpty());
}

TEST(Ownership, AnAdoptedOrphanIsNotTheAdoptersChild) {
  // The active outer run has adopted what the inner one left.
  OwningRun outer = run_of("A", Verdict::active);
  outer.record.supervisor = {.pid = 30, .start_ticks = 50};
  const std::vector<OwningRun> runs = {outer, run_of("B", Verdict::orphaned, {"A"}, {.pid = 40, .start_ticks = 50})};
  const std::vector<ProcessFacts> processes = {process(30, 1), process(40, 30), process(41, 30), process(42, 40)};
  EXPECT_THAT(pids(select(runs, processes), processes), ElementsAre(40, 42));
}

TEST(Ownership, WhoWasSeenOnceIsKnownWithoutParentAndEnvironment) {
  const std::vector<OwningRun> runs = {run_of("A", Verdict::orphaned)};
  EXPECT_THAT(select(runs, {process(20, 1)}).victims, IsEmpty());
  EXPECT_THAT(select(runs, {process(20, 1)}, {{{.pid = 20, .start_ticks = 50}, 0}}).victims, SizeIs(1));
}

TEST(Ownership, ParentsInACircleEnd) {
  const std::vector<OwningRun> runs = {run_of("A", Verdict::orphaned)};
  EXPECT_THAT(select(runs, {process(20, 21), process(21, 20, {"A"})}).victims, SizeIs(2));
}

TEST(Ownership, ACookieOfARunThatIsNotOnRecordMakesADoubt) {
  const std::vector<OwningRun> runs = {run_of("A", Verdict::orphaned, {"OUTER"})};
  const Selection selection = select(runs, {process(20, 1, {"A", "X"}), process(21, 1, {"A", "OUTER"})});
  EXPECT_THAT(selection.victims, SizeIs(1));
  ASSERT_THAT(selection.unknown, SizeIs(1));
  EXPECT_THAT(selection.unknown[0].reason, HasSubstr("run X"));
}

TEST(Victims, NeverTheSweeperItsAncestorsOrItsGroup) {
  const std::vector<OwningRun> runs = {run_of("A", Verdict::orphaned)};
  std::vector<ProcessFacts> processes = {process(9000, 8999, {"A"}), process(8999, 1, {"A"}), process(50, 1, {"A"})};
  processes[2].stat.pgid = 9000;
  const Selection selection = select(runs, processes);
  EXPECT_THAT(selection.victims, IsEmpty());
  EXPECT_THAT(selection.unknown, SizeIs(3));
}

TEST(Victims, ZombiesAreDeadUnlessTheyHaveThreads) {
  const std::vector<OwningRun> runs = {run_of("A", Verdict::orphaned)};
  std::vector<ProcessFacts> processes = {process(20, 1, {"A"}), process(21, 1, {"A"})};
  for (ProcessFacts& each : processes) each.stat.state = 'Z';
  processes[1].stat.threads = 2;
  EXPECT_THAT(pids(select(runs, processes), processes), ElementsAre(21));
}

TEST(Victims, WhoCannotBeReadIsUnknownOnlyIfItCouldBelong) {
  const std::vector<OwningRun> runs = {run_of("A", Verdict::orphaned, {}, {.pid = 20, .start_ticks = 50})};
  const auto unreadable = [](auto change) {
    ProcessFacts facts = process(60, 1);
    facts.environ_readable = false;
    facts.uid = 0;
    change(facts);
    return std::vector<ProcessFacts>{facts};
  };
  EXPECT_THAT(select(runs, unreadable([](ProcessFacts&) {})).unknown, IsEmpty());
  EXPECT_THAT(select(runs, unreadable([](ProcessFacts& facts) { facts.uid = 1000; })).unknown, SizeIs(1));
  EXPECT_THAT(select(runs, unreadable([](ProcessFacts& facts) { facts.stat.sid = 77; })).unknown, SizeIs(1));
  EXPECT_THAT(select(runs, unreadable([](ProcessFacts& facts) { facts.stat.pgid = 20; })).unknown, SizeIs(1));
  EXPECT_THAT(select(runs, unreadable([](ProcessFacts& facts) {
                       facts.uid = 1000;
                       facts.stat.id.start_ticks = 9;
                     }))
                  .unknown,
              IsEmpty());
}

/// As (sd-pam) below the systemd of a user, and the sshd of a login.
TEST(Victims, WhoCannotBeReadIsNotUnknownInASessionThatTheRunCannotBeIn) {
  const std::vector<OwningRun> runs = {run_of("A", Verdict::orphaned, {}, {.pid = 20, .start_ticks = 50})};
  const auto leads = [](std::vector<std::string> cookies = {}) {
    ProcessFacts facts = process(60, 1, std::move(cookies));
    facts.stat.environment_begin = 1000;
    facts.stat.environment_end = 1100;
    return facts;
  };
  ProcessFacts leader = leads();
  ProcessFacts closed = process(61, 1);
  closed.environ_readable = false;
  closed.uid = 1000;
  closed.stat.sid = 60;
  const auto doubts = [&] { return select(runs, {leader, closed}).unknown.size(); };
  EXPECT_EQ(doubts(), 0U);

  leader.stat.state = 'Z';  // its environment is gone
  EXPECT_EQ(doubts(), 1U);
  leader.stat.id.start_ticks = 9;  // older than the run
  EXPECT_EQ(doubts(), 0U);
  leader = leads();
  leader.stat.environment_end = 1000;  // it may have cleared it
  EXPECT_EQ(doubts(), 1U);

  leader = leads();
  leader.environ_readable = false;
  leader.uid = 0;
  EXPECT_EQ(doubts(), 0U);
  leader.uid = 1000;
  EXPECT_EQ(doubts(), 2U);  // both
  leader.uid = {};          // gone before anybody could ask
  EXPECT_EQ(doubts(), 1U);
  leader = leads({"A"});
  EXPECT_EQ(doubts(), 1U);
  leader = leads();  // nobody knows who the leader was
  leader.stat.id.pid = 59;
  EXPECT_EQ(doubts(), 1U);
  leader = leads();
  closed.stat.sid = 61;  // its own
  EXPECT_EQ(doubts(), 1U);
  closed.stat.sid = 77;  // that of the command
  leader = leads();
  leader.stat.id.pid = 77;
  EXPECT_EQ(doubts(), 1U);
  closed.stat.sid = 0;  // outside of this PID namespace
  EXPECT_EQ(doubts(), 1U);
}

TEST(Victims, MatchedProcessesBringTheirDescendantsButNoActiveRun) {
  const std::vector<OwningRun> runs = {run_of("A", Verdict::active)};
  const std::vector<ProcessFacts> processes = {process(20, 1), process(21, 20), process(22, 21, {"A"})};
  const Selection selection = select_matched(runs, {.matched = {{0, {"match-port"}}}, .unreadable = {}, .named = {}},
                                             processes, attribute(runs, processes, {}), kSweeper);
  EXPECT_THAT(pids(selection, processes), ElementsAre(20, 21));
  EXPECT_THAT(selection.victims[1].identified_by, ElementsAre("descendant"));
  EXPECT_THAT(selection.spared, SizeIs(1));
}

TEST(Victims, WhoIsSparedAsAnAncestorOfTheSweepBringsNoDescendants) {
  // What would be chosen if init, or the shell of the sweep, held the port that was asked for.
  const std::vector<ProcessFacts> processes = {process(1, 0), process(8999, 1), process(50, 1), process(51, 8999),
                                               process(52, 50)};
  const auto chosen = [&](std::size_t matched) {
    return select_matched({}, {.matched = {{matched, {"match-port"}}}, .unreadable = {}, .named = {}}, processes,
                          attribute({}, processes, {}), kSweeper);
  };
  for (const std::size_t matched : {0U, 1U}) {
    EXPECT_THAT(chosen(matched).victims, IsEmpty());
    EXPECT_THAT(chosen(matched).spared, SizeIs(1));
  }
  EXPECT_THAT(pids(chosen(2), processes), ElementsAre(50, 52));
}

TEST(Victims, WhoCannotBeReadMayBeOfAReleasedRun) {
  ProcessFacts closed = process(60, 1);
  closed.environ_readable = false;
  closed.uid = 1000;
  const Selection selection = select({run_of("A", Verdict::released)}, {closed});
  EXPECT_THAT(selection.unknown, IsEmpty());
  ASSERT_THAT(selection.released, SizeIs(1));
  EXPECT_THAT(selection.released[0].runs, ElementsAre(0));
}

}  // namespace
}  // namespace reapctl::core
