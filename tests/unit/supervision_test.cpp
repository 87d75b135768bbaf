#include "core/supervision.hpp"

#include <csignal>

#include <gmock/gmock.h>

namespace reapctl::core {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

using P = RunPhase;
using E = RunEventKind;
using A = RunAction;

const TimePoint kStart{std::chrono::hours(1000)};

TimePoint at(int ms) {
  return kStart + Millis(ms);
}

constexpr Rung kInt{.signal = SIGINT, .if_ignored = {}, .bound = Millis(5000)};
constexpr Rung kTerm{.signal = SIGTERM, .if_ignored = {}, .bound = Millis(2000)};

/// One run, which a test leads through its life.
class Story {
 public:
  explicit Story(SupervisionRules rules) : rules_(std::move(rules)) {}

  /// Returns what is to be done.
  std::vector<A> on(int ms, const RunEvent& event) {
    RunStep next = step(rules_, state_, event, at(ms));
    state_ = std::move(next.state);
    return std::move(next.actions);
  }
  std::vector<A> on(int ms, E kind) { return on(ms, RunEvent{.kind = kind}); }
  std::vector<A> stop_signal(int ms, int signal = SIGTERM) {
    return on(ms, {.kind = E::stop_signal, .signal = signal, .sender_pid = 77});
  }
  std::vector<A> main_exited(int ms, bool tree_empty) {
    return on(ms, {.kind = E::main_exited, .tree_empty = tree_empty});
  }
  std::vector<A> census(int ms, int living, std::optional<int> newest_kill) {
    Census census{.living = living, .newest_kill = {}};
    if (newest_kill) census.newest_kill = at(*newest_kill);
    return on(ms, {.kind = E::census, .census = census});
  }

  /// What the supervisor had promised before its guard took over.
  void inherit_deadline(int ms) { state_.stop_deadline = at(ms); }

  [[nodiscard]] const RunState& state() const { return state_; }
  [[nodiscard]] RunPhase phase() const { return state_.phase; }
  [[nodiscard]] StopCause cause() const { return state_.stop.value().cause; }
  /// ms; -1 for none.
  [[nodiscard]] long long deadline() const {
    const auto next = next_deadline(state_);
    return next ? std::chrono::duration_cast<Millis>(*next - kStart).count() : -1;
  }

 private:
  SupervisionRules rules_;
  RunState state_;
};

Story running(SupervisionRules rules = {.ladder = {kInt, kTerm}}) {
  Story run(std::move(rules));
  EXPECT_THAT(run.on(0, E::started), IsEmpty());
  return run;
}

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
