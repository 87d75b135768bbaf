#include "support/run_story.hpp"

#include <csignal>

#include <gmock/gmock.h>

namespace reapctl::core {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// --- without a stop

TEST(Supervision, ACommandThatLeavesNobodyIsFollowedByTheRemoval) {
  Story run = running();
  EXPECT_TRUE(run.state().main_alive);
  EXPECT_EQ(run.deadline(), -1) << "nothing armed";
  EXPECT_THAT(run.main_exited(500, true), ElementsAre(A::remove));
  EXPECT_FALSE(run.state().main_alive);
  EXPECT_THAT(run.on(600, E::removed), ElementsAre(A::finish));
  EXPECT_EQ(run.phase(), P::finished);
  EXPECT_FALSE(run.state().stop);
}

TEST(Supervision, WhatCouldNotBeStartedIsCleanedUpAfter) {
  Story run({.ladder = {kInt}});
  EXPECT_THAT(run.on(0, E::start_failed), ElementsAre(A::remove));
  EXPECT_THAT(run.on(1, E::removed), ElementsAre(A::finish));
  EXPECT_FALSE(run.state().stop);
}

TEST(Supervision, AStopBeforeTheStartStartsNothing) {
  Story run({.ladder = {kInt}});
  EXPECT_THAT(run.stop_signal(0), ElementsAre(A::remove));
  EXPECT_EQ(run.cause(), StopCause::signal);
  Story orphaned({.ladder = {kInt}});
  EXPECT_THAT(orphaned.on(0, E::die_with), ElementsAre(A::remove));
  EXPECT_EQ(orphaned.cause(), StopCause::die_with);
}

// --- what begins a stop

TEST(Supervision, AStopRemembersWhoAskedAndWhen) {
  Story run = running();
  EXPECT_THAT(run.stop_signal(300, SIGHUP), ElementsAre(A::look, A::tell));
  const Stop stop = run.state().stop.value();
  EXPECT_EQ(stop.cause, StopCause::signal);
  EXPECT_EQ(stop.signal, SIGHUP);
  EXPECT_EQ(stop.sender_pid, 77);
  EXPECT_EQ(stop.at, at(300));
}

TEST(Supervision, TheTimeoutCountsFromTheStartAndRunsTheLadder) {
  Story run = running({.ladder = {kInt}, .timeout = Millis(10'000)});
  EXPECT_EQ(run.deadline(), 10'000);
  EXPECT_THAT(run.on(9999, E::tick), IsEmpty());
  EXPECT_THAT(run.on(10'000, E::tick), ElementsAre(A::look, A::tell));
  EXPECT_EQ(run.cause(), StopCause::timeout);
  EXPECT_FALSE(run.state().stop->signal);
}

TEST(Supervision, TheTimeoutHoldsForDescendantsToo) {
  Story run = running({.ladder = {kInt}, .leftovers = Leftovers::wait, .timeout = Millis(10'000)});
  EXPECT_THAT(run.main_exited(1, false), IsEmpty());
  EXPECT_EQ(run.deadline(), 10'000);
  EXPECT_THAT(run.on(10'000, E::tick), ElementsAre(A::look, A::tell));
  EXPECT_EQ(run.cause(), StopCause::timeout);
}

TEST(Supervision, ATimedOutRunStaysTimedOutWhateverComesAfter) {  // fact 25
  Story run = running({.ladder = {kInt, kTerm}, .timeout = Millis(1000)});
  (void)run.on(1000, E::tick);
  (void)run.stop_signal(1100);
  (void)run.stop_signal(1200);
  (void)run.on(1300, E::die_with);
  EXPECT_THAT(run.main_exited(1400, true), ElementsAre(A::remove));
  EXPECT_EQ(run.cause(), StopCause::timeout);
}

TEST(Supervision, TheParentsDeathRunsTheLadder) {
  Story run = running();
  EXPECT_THAT(run.on(5, E::die_with), ElementsAre(A::look, A::tell));
  EXPECT_EQ(run.cause(), StopCause::die_with);
}

// --- the other reapctl process

TEST(Supervision, TheGuardsDeathRunsTheLadderAndIsTheReasonWhateverWasBefore) {
  Story run = running();
  EXPECT_THAT(run.on(5, E::guard_died), ElementsAre(A::look, A::tell));
  EXPECT_EQ(run.cause(), StopCause::guard_death);
  Story stopping = running();
  (void)stopping.stop_signal(0);
  EXPECT_THAT(stopping.on(5, E::guard_died), IsEmpty()) << "no request: nobody has asked twice";
  EXPECT_EQ(stopping.cause(), StopCause::guard_death);
  EXPECT_EQ(stopping.state().stop->at, at(0));
  EXPECT_EQ(stopping.deadline(), 5000);
}

TEST(Supervision, TheGuardsDeathDuringTheRemovalDoesNotAbandonIt) {
  Story run = running();
  (void)run.main_exited(10, true);
  EXPECT_THAT(run.on(11, E::guard_died), IsEmpty());
  EXPECT_EQ(run.cause(), StopCause::guard_death);
  EXPECT_THAT(run.on(12, E::removed), ElementsAre(A::finish));
}

TEST(Supervision, AGuardThatTakesOverStopsWhatIsThere) {
  Story run({.ladder = {kInt, kTerm}});
  EXPECT_THAT(run.on(5, {.kind = E::taken_over, .main_alive = true}), ElementsAre(A::look, A::tell));
  EXPECT_TRUE(run.state().main_alive);
  EXPECT_EQ(run.cause(), StopCause::supervisor_death);
  EXPECT_EQ(run.deadline(), 5005);
  EXPECT_THAT(run.main_exited(6, false), ElementsAre(A::tell_rest));
  EXPECT_THAT(run.on(7, E::tree_empty), ElementsAre(A::remove));
}

TEST(Supervision, AGuardThatTakesOverAnEmptyTreeCleansUp) {
  Story run({.ladder = {kInt, kTerm}});
  const auto actions = run.on(5, {.kind = E::taken_over, .tree_empty = true});
  ASSERT_FALSE(actions.empty());
  EXPECT_EQ(actions.back(), A::remove);
  EXPECT_EQ(run.phase(), P::removing);
  EXPECT_EQ(run.deadline(), -1);
}

TEST(Supervision, AGuardThatTakesOverHasWhatIsLeftOfTheStopTimeout) {
  Story run({.ladder = {kInt, kTerm}, .stop_timeout = Millis(3000)});
  run.inherit_deadline(4000);
  EXPECT_THAT(run.on(2000, {.kind = E::taken_over, .main_alive = true}), ElementsAre(A::look, A::tell));
  EXPECT_EQ(run.deadline(), 2000 + 1800) << "a tenth is for the deletion";
  EXPECT_THAT(run.on(3800, E::tick), ElementsAre(A::kill));
  EXPECT_TRUE(run.state().stop_timeout_hit);
  EXPECT_EQ(run.state().stop_deadline, at(4000));
}

TEST(Supervision, AGuardThatTakesOverTooLateKillsAtOnceAndHasASecondToDelete) {
  Story run({.ladder = {kInt, kTerm}, .stop_timeout = Millis(3000)});
  run.inherit_deadline(3000);
  EXPECT_THAT(run.on(4000, {.kind = E::taken_over, .main_alive = true}), ElementsAre(A::look, A::kill));
  EXPECT_TRUE(run.state().stop_timeout_hit);
  (void)run.main_exited(4010, true);
  EXPECT_EQ(run.phase(), P::removing);
  EXPECT_EQ(run.deadline(), 5000);
}

// --- leftovers

TEST(Supervision, LeftoversAreStopped) {
  Story run = running();
  EXPECT_THAT(run.main_exited(10, false), ElementsAre(A::look, A::tell));
  EXPECT_EQ(run.cause(), StopCause::leftovers);
  EXPECT_EQ(run.deadline(), 5010);
  EXPECT_THAT(run.on(20, E::tree_empty), ElementsAre(A::remove));
}

TEST(Supervision, LeftoversAreWaitedFor) {
  Story run = running({.ladder = {kInt}, .leftovers = Leftovers::wait});
  EXPECT_THAT(run.main_exited(10, false), IsEmpty());
  EXPECT_EQ(run.phase(), P::waiting);
  EXPECT_EQ(run.deadline(), -1);
  EXPECT_THAT(run.on(20, E::tree_changed), IsEmpty());
  EXPECT_THAT(run.on(30, E::tree_empty), ElementsAre(A::remove));
  EXPECT_FALSE(run.state().stop);
}

TEST(Supervision, LeftoversAreLeftWithTheirDirectory) {
  Story run = running({.ladder = {kInt}, .leftovers = Leftovers::leave});
  EXPECT_THAT(run.main_exited(10, false), ElementsAre(A::finish)) << "and no removal";
  EXPECT_TRUE(run.state().released);
}

TEST(Supervision, WithoutLeftoversAllThreeAreTheSame) {
  for (const Leftovers leftovers : {Leftovers::stop, Leftovers::wait, Leftovers::leave}) {
    Story run = running({.ladder = {kInt}, .leftovers = leftovers});
    EXPECT_THAT(run.main_exited(10, true), ElementsAre(A::remove));
    EXPECT_FALSE(run.state().released);
  }
}

TEST(Supervision, TheFirstSignalDuringAStopOfLeftoversIsTheFirstRequest) {
  // A signal to a whole control group ends the main command before we read ours: that is not a second request.
  Story run = running();
  (void)run.main_exited(10, false);
  EXPECT_THAT(run.stop_signal(11), IsEmpty());
  EXPECT_EQ(run.cause(), StopCause::signal) << "but it is the reason from now on";
  EXPECT_EQ(run.state().stop->sender_pid, 77);
  EXPECT_EQ(run.state().stop->at, at(10)) << "the timeline began with the leftovers";
  EXPECT_EQ(run.deadline(), 5010);
  EXPECT_THAT(run.stop_signal(500), ElementsAre(A::tell));
  EXPECT_THAT(run.stop_signal(600), ElementsAre(A::kill));
}

TEST(Supervision, TheFirstSignalAfterATimeoutOrADeathIsTheFirstRequest) {
  Story timed_out = running({.ladder = {kInt, kTerm}, .timeout = Millis(10)});
  (void)timed_out.on(10, E::tick);
  EXPECT_THAT(timed_out.stop_signal(11), IsEmpty());
  EXPECT_EQ(timed_out.cause(), StopCause::timeout);
  EXPECT_THAT(timed_out.stop_signal(12), ElementsAre(A::tell));
  Story orphaned = running();
  (void)orphaned.on(10, E::die_with);
  EXPECT_THAT(orphaned.stop_signal(11), IsEmpty());
  EXPECT_EQ(orphaned.cause(), StopCause::die_with);
  EXPECT_THAT(orphaned.stop_signal(12), ElementsAre(A::tell));
}

// --- the removal

TEST(Removal, IsNeverAbandonedByARequestToStop) {
  Story run = running();
  (void)run.main_exited(10, true);
  for (int ms = 20; ms < 30; ++ms) {
    EXPECT_THAT(run.stop_signal(ms), IsEmpty());
    EXPECT_THAT(run.on(ms, E::typed_interrupt), IsEmpty());
    EXPECT_THAT(run.on(ms, E::die_with), IsEmpty());
  }
  EXPECT_EQ(run.phase(), P::removing);
  EXPECT_EQ(run.deadline(), -1) << "without --stop-timeout it takes the time it takes";
  EXPECT_FALSE(run.state().stop) << "the command had ended by itself";
  EXPECT_THAT(run.on(5000, E::removed), ElementsAre(A::finish));
}

TEST(Removal, ARequestStartsTheClockOfStopTimeoutOnce) {
  Story run = running({.ladder = {kInt}, .stop_timeout = Millis(1000)});
  (void)run.main_exited(10, true);
  EXPECT_EQ(run.deadline(), -1);
  EXPECT_THAT(run.stop_signal(500), IsEmpty());
  EXPECT_EQ(run.deadline(), 1500);
  EXPECT_THAT(run.stop_signal(800), IsEmpty());
  EXPECT_EQ(run.deadline(), 1500);
  EXPECT_THAT(run.on(1499, E::tick), IsEmpty());
  EXPECT_THAT(run.on(1500, E::tick), ElementsAre(A::abandon_removal, A::finish));
}

// --- typed ^C

TEST(TypedInterrupt, TheFirstDoesNothingTheSecondHintsTheThirdStops) {
  Story run = running();
  EXPECT_THAT(run.on(0, E::typed_interrupt), IsEmpty());
  EXPECT_THAT(run.on(2000, E::typed_interrupt), ElementsAre(A::hint));
  EXPECT_EQ(run.phase(), P::running);
  EXPECT_THAT(run.on(4000, E::typed_interrupt), ElementsAre(A::look, A::tell));
  EXPECT_EQ(run.cause(), StopCause::signal);
  EXPECT_EQ(run.state().stop->signal, SIGINT);
  EXPECT_FALSE(run.state().stop->sender_pid);
}

TEST(TypedInterrupt, CountsAnewAfterTwoSeconds) {
  Story run = running();
  for (const int ms : {0, 2001, 4002}) EXPECT_THAT(run.on(ms, E::typed_interrupt), IsEmpty());
  EXPECT_THAT(run.on(6002, E::typed_interrupt), ElementsAre(A::hint));
  EXPECT_THAT(run.on(8003, E::typed_interrupt), IsEmpty()) << "too late for a third";
  EXPECT_THAT(run.on(8004, E::typed_interrupt), ElementsAre(A::hint));
  EXPECT_THAT(run.on(8005, E::typed_interrupt), ElementsAre(A::look, A::tell));
}

TEST(TypedInterrupt, DuringTheLadderIsARequestLikeAnyOther) {
  Story run = running();
  (void)run.stop_signal(0);
  EXPECT_THAT(run.on(1, E::typed_interrupt), ElementsAre(A::tell));
  EXPECT_THAT(run.on(2, E::typed_interrupt), ElementsAre(A::kill));
  EXPECT_EQ(run.state().stop->signal, SIGTERM);
}

TEST(TypedInterrupt, TheFourthGoesToTheNextRung) {
  Story run = running();
  for (const int ms : {0, 1, 2}) (void)run.on(ms, E::typed_interrupt);
  EXPECT_THAT(run.on(3, E::typed_interrupt), ElementsAre(A::tell));
}

TEST(TypedInterrupt, WhileLeftoversAreStoppedTakesOver) {
  Story run = running();
  (void)run.main_exited(10, false);
  EXPECT_THAT(run.on(20, E::typed_interrupt), IsEmpty());
  EXPECT_EQ(run.cause(), StopCause::signal);
  EXPECT_EQ(run.state().stop->signal, SIGINT);
  EXPECT_THAT(run.on(30, E::typed_interrupt), ElementsAre(A::tell));
}

}  // namespace
}  // namespace reapctl::core
