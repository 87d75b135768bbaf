#include "core/ladder.hpp"

#include <csignal>
#include <set>
#include <utility>

#include <gmock/gmock.h>

namespace reapctl::core {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// --- reading

Ladder read(std::string_view text) {
  auto ladder = parse_ladder(text);
  EXPECT_TRUE(ladder) << text;
  return ladder ? ladder.take() : Ladder{};
}

std::string refusal(std::string_view text) {
  const auto ladder = parse_ladder(text);
  EXPECT_FALSE(ladder) << text;
  return ladder ? std::string() : ladder.error().operation;
}

Rung rung(int signal, Millis bound, std::optional<int> if_ignored = std::nullopt) {
  return {.signal = signal, .if_ignored = if_ignored, .bound = bound};
}

TEST(LadderText, ReadsRungsInOrder) {
  EXPECT_THAT(read("INT/TERM:5s,KILL"), ElementsAre(rung(SIGINT, Millis(5000), SIGTERM)));
  EXPECT_THAT(read("HUP:1,sigterm:250ms,15:0,RTMIN+1:2m,KILL"),
              ElementsAre(rung(SIGHUP, Millis(1000)), rung(SIGTERM, Millis(250)), rung(SIGTERM, Millis(0)),
                          rung(SIGRTMIN + 1, Millis(120'000))));
}

TEST(LadderText, AddsAMissingKillAndAMissingBound) {
  EXPECT_EQ(read("INT"), read("INT:5s,KILL"));
  EXPECT_EQ(read("INT,TERM:1s"), read("INT:5s,TERM:1s,KILL"));
}

TEST(LadderText, MayBeNothingButKill) {
  EXPECT_THAT(read("KILL"), IsEmpty());
  EXPECT_THAT(read("SIGKILL"), IsEmpty());
  EXPECT_THAT(read("9"), IsEmpty());
}

TEST(LadderText, KillIsTheLastRungAndStandsAlone) {
  EXPECT_THAT(refusal("KILL,TERM"), HasSubstr("nothing may follow"));
  EXPECT_THAT(refusal("KILL,"), HasSubstr("nothing may follow"));
  EXPECT_THAT(refusal("TERM:1s,KILL:1s"), HasSubstr("takes no bound"));
  EXPECT_THAT(refusal("TERM/KILL:1s"), HasSubstr("stands alone"));
  EXPECT_THAT(refusal("KILL/TERM"), HasSubstr("stands alone"));
}

TEST(LadderText, RefusesNonsense) {
  EXPECT_THAT(refusal(""), HasSubstr("INT/TERM:5s,KILL"));
  EXPECT_THAT(refusal("INT:5s,"), HasSubstr("unknown signal \"\""));
  EXPECT_THAT(refusal(",INT"), HasSubstr("unknown signal \"\""));
  EXPECT_THAT(refusal("FOO:5s"), HasSubstr("unknown signal \"FOO\""));
  EXPECT_THAT(refusal("INT/:5s"), HasSubstr("unknown signal \"\""));
  EXPECT_THAT(refusal("INT/TERM/HUP"), HasSubstr("unknown signal \"TERM/HUP\""));
  EXPECT_THAT(refusal("0:5s"), HasSubstr("unknown signal \"0\""));
  EXPECT_THAT(refusal("INT:"), HasSubstr("rung \"INT:\": expected a number"));
  EXPECT_THAT(refusal("INT:-1s"), HasSubstr("rung \"INT:-1s\": expected a number"));
  EXPECT_THAT(refusal("INT:5s:5s"), HasSubstr("rung \"INT:5s:5s\""));
  EXPECT_THAT(refusal("INT:9999d"), HasSubstr("at most"));
}

TEST(LadderText, NamesARung) {
  EXPECT_EQ(rung_name(rung(SIGINT, Millis(0), SIGTERM)), "INT/TERM");
  EXPECT_EQ(rung_name(rung(SIGRTMIN + 1, Millis(0))), "RTMIN+1");
}

// --- climbing

const TimePoint kStart{std::chrono::hours(1000)};

TimePoint at(int ms) {
  return kStart + Millis(ms);
}

const Ladder kTwoRungs = {rung(SIGINT, Millis(5000)), rung(SIGTERM, Millis(2000))};

/// A representative state of each phase, as of `at(0)`.
LadderState state_in(LadderPhase phase) {
  LadderState state;
  state.phase = phase;
  if (phase == LadderPhase::idle) return state;
  state.requests = 1;
  state.requested_at = at(0);
  state.kill_by = TimePoint::max();
  state.next_at = at(5000);
  if (phase == LadderPhase::graceful) return state;
  state.rung = 2;
  state.killing_since = at(0);
  state.next_at = at(20);
  return state;
}

struct Row {
  LadderPhase phase;
  LadderEvent event;
  int now;  ///< ms
  LadderPhase after;
  LadderAction action;
  std::optional<int> next_at;  ///< ms; nullopt: as before
};

using P = LadderPhase;
using E = LadderEvent;
using A = LadderAction;

const Row kTable[] = {
    {P::idle, E::request, 10, P::graceful, A::tell, 5010},     {P::idle, E::tick, 10, P::idle, A::none, {}},
    {P::idle, E::emptied, 10, P::idle, A::none, {}},           {P::idle, E::changed, 10, P::idle, A::none, {}},

    {P::graceful, E::request, 10, P::graceful, A::tell, 2010}, {P::graceful, E::tick, 4999, P::graceful, A::none, {}},
    {P::graceful, E::tick, 5000, P::graceful, A::tell, 7000},  {P::graceful, E::emptied, 10, P::over, A::none, {}},
    {P::graceful, E::changed, 10, P::graceful, A::none, {}},

    {P::killing, E::request, 10, P::killing, A::none, {}},     {P::killing, E::tick, 19, P::killing, A::none, {}},
    {P::killing, E::tick, 20, P::killing, A::kill, {}},        {P::killing, E::emptied, 10, P::over, A::none, {}},
    {P::killing, E::changed, 10, P::killing, A::none, 10},

    {P::over, E::request, 10, P::over, A::none, {}},           {P::over, E::tick, 10, P::over, A::none, {}},
    {P::over, E::emptied, 10, P::over, A::none, {}},           {P::over, E::changed, 10, P::over, A::none, {}},
};

TEST(LadderStep, AnswersEveryEventInEveryPhase) {
  std::set<std::pair<P, E>> seen;
  for (const Row& row : kTable) {
    SCOPED_TRACE(::testing::Message() << "phase " << static_cast<int>(row.phase) << " event "
                                      << static_cast<int>(row.event) << " at " << row.now);
    seen.emplace(row.phase, row.event);
    const LadderState before = state_in(row.phase);
    const LadderStep next = step(kTwoRungs, before, row.event, at(row.now), std::nullopt);
    EXPECT_EQ(next.state.phase, row.after);
    EXPECT_EQ(next.action, row.action);
    EXPECT_EQ(next.state.next_at, row.next_at ? at(*row.next_at) : before.next_at);
    const bool counts = row.event == E::request && row.phase != P::over;
    EXPECT_EQ(next.state.requests, before.requests + (counts ? 1 : 0));
  }
  EXPECT_EQ(seen.size(), 4U * 4U) << "a pair of phase and event is missing in the table";
}

LadderStep begin(const Ladder& ladder, std::optional<Millis> limit = std::nullopt) {
  return step(ladder, LadderState{}, E::request, at(0), limit);
}

LadderStep next(const Ladder& ladder, const LadderStep& last, E event, int now,
                std::optional<Millis> limit = std::nullopt) {
  return step(ladder, last.state, event, at(now), limit);
}

TEST(LadderStep, RungsAreBoundsOnOneTimeline) {
  LadderStep now = begin(kTwoRungs);
  EXPECT_EQ(now.state.rung, 0U);
  EXPECT_EQ(now.state.next_at, at(5000));
  for (int ended = 0; ended < 10; ++ended) now = next(kTwoRungs, now, E::changed, 100 * ended);
  EXPECT_EQ(now.state.next_at, at(5000)) << "a process that ends does not move the bound";
  now = next(kTwoRungs, now, E::tick, 5000);
  EXPECT_EQ(now.action, A::tell);
  EXPECT_EQ(now.state.rung, 1U);
  EXPECT_EQ(now.state.next_at, at(7000));
  now = next(kTwoRungs, now, E::tick, 7000);
  EXPECT_EQ(now.action, A::kill);
  EXPECT_EQ(now.state.killing_since, at(7000));
  EXPECT_EQ(now.state.requested_at, at(0));
}

TEST(LadderStep, EndsTheMomentNothingIsLeft) {
  EXPECT_EQ(next(kTwoRungs, begin(kTwoRungs), E::emptied, 3).state.phase, P::over);
}

TEST(LadderStep, TheSecondRequestGoesToTheNextRung) {
  const LadderStep second = next(kTwoRungs, begin(kTwoRungs), E::request, 300);
  EXPECT_EQ(second.action, A::tell);
  EXPECT_EQ(second.state.rung, 1U);
  EXPECT_EQ(second.state.next_at, at(2300));
  EXPECT_EQ(second.state.requested_at, at(0)) << "the timeline began with the first";
}

TEST(LadderStep, TheSecondRequestOnTheLastGracefulRungKills) {
  const Ladder one = {kTwoRungs.front()};
  const LadderStep second = next(one, begin(one), E::request, 300);
  EXPECT_EQ(second.action, A::kill);
  EXPECT_EQ(second.state.phase, P::killing);
}

TEST(LadderStep, TheThirdRequestKillsWhateverRungsAreLeft) {
  const Ladder many(9, rung(SIGINT, Millis(5000)));
  const LadderStep second = next(many, begin(many), E::request, 1);
  EXPECT_EQ(second.state.rung, 1U);
  const LadderStep third = next(many, second, E::request, 2);
  EXPECT_EQ(third.action, A::kill);
  EXPECT_EQ(third.state.phase, P::killing);
  EXPECT_EQ(third.state.killing_since, at(2));
}

TEST(LadderStep, OnlyKillKillsAtOnce) {
  const LadderStep only = begin({});
  EXPECT_EQ(only.state.phase, P::killing);
  EXPECT_EQ(only.action, A::kill);
}

TEST(LadderStep, AZeroBoundMeansAtOnce) {
  const Ladder zero = {rung(SIGINT, Millis(0)), rung(SIGTERM, Millis(0))};
  LadderStep now = begin(zero);
  EXPECT_EQ(now.action, A::tell);
  EXPECT_EQ(now.state.next_at, at(0));
  now = next(zero, now, E::tick, 0);
  EXPECT_EQ(now.action, A::tell) << "each rung is sent, if only for a moment";
  now = next(zero, now, E::tick, 0);
  EXPECT_EQ(now.action, A::kill);
}

TEST(LadderStep, ALimitCutsTheRungsShort) {
  const Millis limit(6000);
  LadderStep now = begin(kTwoRungs, limit);
  EXPECT_EQ(now.state.kill_by, at(6000));
  EXPECT_EQ(now.state.next_at, at(5000));
  now = next(kTwoRungs, now, E::tick, 5000, limit);
  EXPECT_EQ(now.state.rung, 1U);
  EXPECT_EQ(now.state.next_at, at(6000)) << "not 7000";
  now = next(kTwoRungs, now, E::tick, 6000, limit);
  EXPECT_EQ(now.action, A::kill);
}

TEST(LadderStep, TheLimitCountsFromTheFirstRequest) {
  const Millis limit(6000);
  const LadderStep second = next(kTwoRungs, begin(kTwoRungs, limit), E::request, 4500, limit);
  EXPECT_EQ(second.state.kill_by, at(6000));
  EXPECT_EQ(second.state.next_at, at(6000));
}

TEST(LadderStep, BeyondTheLimitNoRungIsTold) {
  const Millis limit(4000);
  EXPECT_EQ(next(kTwoRungs, begin(kTwoRungs, limit), E::request, 4000, limit).action, A::kill);
  EXPECT_EQ(next(kTwoRungs, begin(kTwoRungs, limit), E::tick, 9000, limit).action, A::kill);
}

TEST(LadderStep, ALimitOfZeroKillsAtOnce) {
  EXPECT_EQ(begin(kTwoRungs, Millis(0)).action, A::kill);
}

// --- after a pass of killing

LadderState killing_since(int since) {
  LadderState state = state_in(P::killing);
  state.killing_since = at(since);
  return state;
}

TEST(LadderCensus, LooksAgainAtOnceWhenSomebodyWasNew) {
  const auto after = after_census(killing_since(0), {.living = 2, .newest_kill = at(50)}, at(50));
  EXPECT_EQ(after.phase, P::killing);
  EXPECT_EQ(after.next_at, at(50));
}

TEST(LadderCensus, LooksAgainSoonWhenNobodyWas) {
  const auto after = after_census(killing_since(0), {.living = 2, .newest_kill = at(40)}, at(50));
  EXPECT_EQ(after.phase, P::killing);
  EXPECT_EQ(after.next_at, at(50) + kKillInterval);
  const auto zombies_only = after_census(killing_since(0), {.living = 0, .newest_kill = {}}, at(50));
  EXPECT_EQ(zombies_only.phase, P::killing);
  EXPECT_EQ(zombies_only.next_at, at(50) + kKillInterval);
}

TEST(LadderCensus, WhoIsAliveASecondAfterItsKillIsASurvivor) {
  EXPECT_EQ(after_census(killing_since(0), {.living = 1, .newest_kill = at(0)}, at(999)).phase, P::killing);
  EXPECT_EQ(after_census(killing_since(0), {.living = 1, .newest_kill = at(0)}, at(1000)).phase, P::over);
}

TEST(LadderCensus, AYoungerProcessGetsItsOwnSecond) {
  EXPECT_EQ(after_census(killing_since(0), {.living = 2, .newest_kill = at(500)}, at(1499)).phase, P::killing);
  EXPECT_EQ(after_census(killing_since(0), {.living = 2, .newest_kill = at(500)}, at(1500)).phase, P::over);
}

TEST(LadderCensus, ZombiesAreNoSurvivors) {
  EXPECT_EQ(after_census(killing_since(0), {.living = 0, .newest_kill = {}}, at(5000)).phase, P::killing);
}

TEST(LadderCensus, KillingEndsAfterTenSecondsEvenIfItMakesProgress) {
  EXPECT_EQ(after_census(killing_since(0), {.living = 700, .newest_kill = at(9999)}, at(9999)).phase, P::killing);
  EXPECT_EQ(after_census(killing_since(0), {.living = 700, .newest_kill = at(10'000)}, at(10'000)).phase, P::over);
  EXPECT_EQ(after_census(killing_since(0), {.living = 0, .newest_kill = {}}, at(10'000)).phase, P::over);
}

TEST(LadderCensus, ChangesNothingInOtherPhases) {
  for (const P phase : {P::idle, P::graceful, P::over}) {
    const LadderState before = state_in(phase);
    EXPECT_EQ(after_census(before, {.living = 1, .newest_kill = at(0)}, at(60'000)), before);
  }
}

}  // namespace
}  // namespace reapctl::core
