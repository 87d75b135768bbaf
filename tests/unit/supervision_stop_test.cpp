#include "support/run_story.hpp"

#include <csignal>

#include <gmock/gmock.h>

namespace reapctl::core {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// --- the ladder within the run

TEST(Supervision, TheSecondRequestGoesToTheNextRungAndTheThirdKills) {
  Story run = running();
  EXPECT_THAT(run.stop_signal(0), ElementsAre(A::look, A::tell));
  EXPECT_THAT(run.stop_signal(100), ElementsAre(A::tell));
  EXPECT_EQ(run.deadline(), 2100);
  EXPECT_THAT(run.stop_signal(200), ElementsAre(A::kill));
  EXPECT_THAT(run.stop_signal(300), IsEmpty()) << "there is nothing more to do";
  EXPECT_EQ(run.phase(), P::stopping);
}

TEST(Supervision, TimeAloneClimbsToTheKill) {
  Story run = running();
  (void)run.stop_signal(0);
  EXPECT_THAT(run.on(4999, E::tick), IsEmpty());
  EXPECT_THAT(run.on(5000, E::tick), ElementsAre(A::tell));
  EXPECT_EQ(run.deadline(), 7000);
  EXPECT_THAT(run.on(7000, E::tick), ElementsAre(A::kill));
}

TEST(Supervision, ALadderOfKillAloneKillsAtOnce) {
  Story run = running({.ladder = {}});
  EXPECT_THAT(run.stop_signal(0), ElementsAre(A::look, A::kill));
}

TEST(Supervision, AZeroBoundIsDueAtOnce) {
  Story run = running({.ladder = {{.signal = SIGINT, .if_ignored = {}, .bound = Millis(0)}}});
  EXPECT_THAT(run.stop_signal(3), ElementsAre(A::look, A::tell));
  EXPECT_EQ(run.deadline(), 3);
  EXPECT_THAT(run.on(3, E::tick), ElementsAre(A::kill));
}

TEST(Supervision, ALeaderThatExitsAtOnceDoesNotCancelTheLadder) {  // fact 22
  Story run = running();
  (void)run.stop_signal(0);
  EXPECT_THAT(run.main_exited(1, false), ElementsAre(A::tell_rest));
  EXPECT_EQ(run.phase(), P::stopping);
  EXPECT_EQ(run.deadline(), 5000) << "the timer belongs to the tree";
  EXPECT_THAT(run.on(5000, E::tick), ElementsAre(A::tell));
  EXPECT_THAT(run.on(7000, E::tick), ElementsAre(A::kill));
  EXPECT_THAT(run.on(7001, E::tree_empty), ElementsAre(A::remove));
}

TEST(Supervision, TheLadderEndsEarlyWhenTheTreeIsEmpty) {  // fact 22
  Story run = running();
  (void)run.stop_signal(0);
  EXPECT_THAT(run.main_exited(1, true), ElementsAre(A::remove));
  EXPECT_EQ(run.state().ladder.phase, LadderPhase::over);
  EXPECT_EQ(run.deadline(), -1);
}

TEST(Supervision, KillsAgainWhenSomebodyEndedAndMayHaveLeftOrphans) {
  Story run = running({.ladder = {}});
  (void)run.stop_signal(0);
  EXPECT_THAT(run.census(0, 3, 0), IsEmpty());
  EXPECT_EQ(run.deadline(), 0) << "somebody was new: at once";
  EXPECT_THAT(run.on(1, E::tick), ElementsAre(A::kill));
  EXPECT_THAT(run.census(1, 3, 0), IsEmpty());
  EXPECT_EQ(run.deadline(), 21);
  EXPECT_THAT(run.on(5, E::tree_changed), IsEmpty());
  EXPECT_EQ(run.deadline(), 5);
  EXPECT_THAT(run.main_exited(6, false), IsEmpty()) << "no graceful rung is told any more";
  EXPECT_EQ(run.deadline(), 6);
}

TEST(Supervision, ASurvivorEndsTheRunAfterASecondAndKeepsTheDirectory) {
  Story run = running({.ladder = {}});
  (void)run.stop_signal(0);
  EXPECT_THAT(run.census(0, 1, 0), IsEmpty());
  EXPECT_THAT(run.census(999, 1, 0), IsEmpty());
  EXPECT_THAT(run.census(1000, 1, 0), ElementsAre(A::finish)) << "without A::remove";
  EXPECT_FALSE(run.state().stop_timeout_hit);
}

TEST(Supervision, KillingEndsAfterTenSeconds) {
  Story run = running({.ladder = {}});
  (void)run.stop_signal(0);
  EXPECT_THAT(run.census(9999, 900, 9999), IsEmpty());
  EXPECT_THAT(run.census(10'000, 900, 10'000), ElementsAre(A::finish));
}

// --- --stop-timeout

TEST(StopTimeout, LeavesATenthButAtMostASecondForDyingAndDeleting) {
  EXPECT_EQ(graceful_share(Millis(5000)), Millis(4500));
  EXPECT_EQ(graceful_share(Millis(10'000)), Millis(9000));
  EXPECT_EQ(graceful_share(Millis(60'000)), Millis(59'000));
  EXPECT_EQ(graceful_share(Millis(0)), Millis(0));
  EXPECT_EQ(graceful_share(Millis(1)), Millis(1));
}

TEST(StopTimeout, CutsTheRungsShortAndEndsTheRun) {
  Story run = running({.ladder = {kInt, kTerm}, .stop_timeout = Millis(1000)});
  EXPECT_EQ(run.deadline(), -1) << "it counts from the request";
  (void)run.stop_signal(100);
  EXPECT_EQ(run.deadline(), 1000);
  EXPECT_THAT(run.on(1000, E::tick), ElementsAre(A::kill));
  EXPECT_TRUE(run.state().stop_timeout_hit);
  (void)run.census(1000, 1, 1000);
  (void)run.census(1001, 1, 1000);
  EXPECT_THAT(run.on(1099, E::tick), ElementsAre(A::kill));
  EXPECT_THAT(run.on(1100, E::tick), ElementsAre(A::finish));
}

TEST(StopTimeout, IsNotHitByALadderThatEndsBefore) {
  Story run = running({.ladder = {kInt}, .stop_timeout = Millis(30'000)});
  (void)run.stop_signal(0);
  EXPECT_THAT(run.on(5000, E::tick), ElementsAre(A::kill));
  (void)run.on(5001, E::tree_empty);
  (void)run.on(5002, E::removed);
  EXPECT_FALSE(run.state().stop_timeout_hit);
}

TEST(StopTimeout, OfZeroKillsAtOnceAndLeavesAMomentToDie) {
  Story run = running({.ladder = {kInt}, .stop_timeout = Millis(0)});
  EXPECT_THAT(run.stop_signal(10), ElementsAre(A::look, A::kill));
  EXPECT_THAT(run.on(109, E::tick), ElementsAre(A::kill));
  EXPECT_EQ(run.phase(), P::stopping);
  EXPECT_THAT(run.on(110, E::tick), ElementsAre(A::finish));
}

TEST(StopTimeout, IsNotRestartedByFurtherRequests) {
  Story run = running({.ladder = {kInt, kTerm}, .stop_timeout = Millis(1000)});
  (void)run.stop_signal(0);
  (void)run.stop_signal(600);
  EXPECT_EQ(run.deadline(), 900);
  (void)run.on(900, E::tick);
  EXPECT_THAT(run.on(1000, E::tick), ElementsAre(A::finish));
}

TEST(StopTimeout, NeverEndsARunThatHasNotKilled) {
  // reapctl itself was stopped (^Z, a freezer) and wakes up after everything is over.
  Story run = running({.ladder = {kInt}, .stop_timeout = Millis(1000)});
  (void)run.stop_signal(0);
  EXPECT_THAT(run.on(60'000, E::tick), ElementsAre(A::kill));
  EXPECT_EQ(run.phase(), P::stopping);
  (void)run.census(60'000, 1, 60'000);
  EXPECT_THAT(run.on(60'001, E::tick), ElementsAre(A::kill)) << "and what was killed gets a moment to die";
  EXPECT_THAT(run.on(60'002, E::tree_empty), ElementsAre(A::remove));
}

TEST(StopTimeout, CountsTheDeletionToo) {
  Story run = running({.ladder = {kInt}, .stop_timeout = Millis(1000)});
  (void)run.stop_signal(0);
  EXPECT_THAT(run.main_exited(10, true), ElementsAre(A::remove));
  EXPECT_EQ(run.deadline(), 1000);
  EXPECT_THAT(run.on(999, E::tick), IsEmpty());
  EXPECT_THAT(run.on(1000, E::tick), ElementsAre(A::abandon_removal, A::finish));
  EXPECT_TRUE(run.state().stop_timeout_hit);
}

}  // namespace
}  // namespace reapctl::core
