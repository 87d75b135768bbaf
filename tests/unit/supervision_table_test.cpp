#include "core/supervision.hpp"

#include <csignal>
#include <set>
#include <utility>

#include <gmock/gmock.h>

/// The whole table of the run's state machine: each phase with each kind of event, in one representative state of the
/// phase. What depends on more than phase and kind is in supervision_test.cpp.
namespace reapctl::core {
namespace {

using P = RunPhase;
using E = RunEventKind;
using A = RunAction;

const TimePoint kStart{std::chrono::hours(1000)};

TimePoint at(int ms) {
  return kStart + Millis(ms);
}

const SupervisionRules kRules{.ladder = {{.signal = SIGINT, .if_ignored = {}, .bound = Millis(5000)},
                                         {.signal = SIGTERM, .if_ignored = {}, .bound = Millis(2000)}},
                              .leftovers = Leftovers::stop,
                              .timeout = Millis(60'000),
                              .stop_timeout = Millis(30'000)};

/// Reached by the shortest way, as of `at(0)`.
RunState state_in(RunPhase phase) {
  RunState state;
  const auto go = [&](const SupervisionRules& rules, const RunEvent& event) {
    state = step(rules, state, event, at(0)).state;
  };
  if (phase == P::starting) return state;
  if (phase == P::removing) {
    go(kRules, {.kind = E::start_failed});
    return state;
  }
  go(kRules, {.kind = E::started});
  if (phase == P::running) return state;
  if (phase == P::stopping) {
    go(kRules, {.kind = E::stop_signal, .signal = SIGTERM});
    return state;
  }
  SupervisionRules rules = kRules;
  rules.leftovers = phase == P::waiting ? Leftovers::wait : Leftovers::leave;
  go(rules, {.kind = E::main_exited});
  return state;
}

struct Row {
  RunPhase phase;
  RunEventKind event;
  RunPhase after;
  std::vector<RunAction> actions;
  std::optional<int> deadline;  ///< ms; nullopt: time alone changes nothing
};

/// Every event comes at 10 ms.
const Row kTable[] = {
    {P::starting, E::started, P::running, {}, 60'010},
    {P::starting, E::start_failed, P::removing, {A::remove}, {}},
    {P::starting, E::stop_signal, P::removing, {A::remove}, 30'010},
    {P::starting, E::typed_interrupt, P::starting, {}, {}},
    {P::starting, E::die_with, P::removing, {A::remove}, 30'010},
    {P::starting, E::guard_died, P::removing, {A::remove}, 30'010},
    {P::starting, E::taken_over, P::stopping, {A::look, A::tell}, 5010},
    {P::starting, E::tick, P::starting, {}, {}},
    {P::starting, E::main_exited, P::starting, {}, {}},
    {P::starting, E::tree_changed, P::starting, {}, {}},
    {P::starting, E::tree_empty, P::starting, {}, {}},
    {P::starting, E::census, P::starting, {}, {}},
    {P::starting, E::removed, P::starting, {}, {}},

    {P::running, E::started, P::running, {}, 60'000},
    {P::running, E::start_failed, P::running, {}, 60'000},
    {P::running, E::stop_signal, P::stopping, {A::look, A::tell}, 5010},
    {P::running, E::typed_interrupt, P::running, {}, 60'000},
    {P::running, E::die_with, P::stopping, {A::look, A::tell}, 5010},
    {P::running, E::guard_died, P::stopping, {A::look, A::tell}, 5010},
    {P::running, E::taken_over, P::running, {}, 60'000},
    {P::running, E::tick, P::running, {}, 60'000},
    {P::running, E::main_exited, P::stopping, {A::look, A::tell}, 5010},
    {P::running, E::tree_changed, P::running, {}, 60'000},
    {P::running, E::tree_empty, P::running, {}, 60'000},
    {P::running, E::census, P::running, {}, 60'000},
    {P::running, E::removed, P::running, {}, 60'000},

    {P::waiting, E::started, P::waiting, {}, 60'000},
    {P::waiting, E::start_failed, P::waiting, {}, 60'000},
    {P::waiting, E::stop_signal, P::stopping, {A::look, A::tell}, 5010},
    {P::waiting, E::typed_interrupt, P::waiting, {}, 60'000},
    {P::waiting, E::die_with, P::stopping, {A::look, A::tell}, 5010},
    {P::waiting, E::guard_died, P::stopping, {A::look, A::tell}, 5010},
    {P::waiting, E::taken_over, P::waiting, {}, 60'000},
    {P::waiting, E::tick, P::waiting, {}, 60'000},
    {P::waiting, E::main_exited, P::waiting, {}, 60'000},
    {P::waiting, E::tree_changed, P::waiting, {}, 60'000},
    {P::waiting, E::tree_empty, P::removing, {A::remove}, {}},
    {P::waiting, E::census, P::waiting, {}, 60'000},
    {P::waiting, E::removed, P::waiting, {}, 60'000},

    {P::stopping, E::started, P::stopping, {}, 5000},
    {P::stopping, E::start_failed, P::stopping, {}, 5000},
    {P::stopping, E::stop_signal, P::stopping, {A::tell}, 2010},
    {P::stopping, E::typed_interrupt, P::stopping, {A::tell}, 2010},
    {P::stopping, E::die_with, P::stopping, {}, 5000},
    {P::stopping, E::guard_died, P::stopping, {}, 5000},
    {P::stopping, E::taken_over, P::stopping, {}, 5000},
    {P::stopping, E::tick, P::stopping, {}, 5000},
    {P::stopping, E::main_exited, P::stopping, {A::tell_rest}, 5000},
    {P::stopping, E::tree_changed, P::stopping, {}, 5000},
    {P::stopping, E::tree_empty, P::removing, {A::remove}, 30'000},
    {P::stopping, E::census, P::stopping, {}, 5000},
    {P::stopping, E::removed, P::stopping, {}, 5000},

    {P::removing, E::started, P::removing, {}, {}},
    {P::removing, E::start_failed, P::removing, {}, {}},
    {P::removing, E::stop_signal, P::removing, {}, 30'010},
    {P::removing, E::typed_interrupt, P::removing, {}, 30'010},
    {P::removing, E::die_with, P::removing, {}, 30'010},
    {P::removing, E::guard_died, P::removing, {}, 30'010},
    {P::removing, E::taken_over, P::removing, {}, {}},
    {P::removing, E::tick, P::removing, {}, {}},
    {P::removing, E::main_exited, P::removing, {}, {}},
    {P::removing, E::tree_changed, P::removing, {}, {}},
    {P::removing, E::tree_empty, P::removing, {}, {}},
    {P::removing, E::census, P::removing, {}, {}},
    {P::removing, E::removed, P::finished, {A::finish}, {}},

    {P::finished, E::started, P::finished, {}, {}},
    {P::finished, E::start_failed, P::finished, {}, {}},
    {P::finished, E::stop_signal, P::finished, {}, {}},
    {P::finished, E::typed_interrupt, P::finished, {}, {}},
    {P::finished, E::die_with, P::finished, {}, {}},
    {P::finished, E::guard_died, P::finished, {}, {}},
    {P::finished, E::taken_over, P::finished, {}, {}},
    {P::finished, E::tick, P::finished, {}, {}},
    {P::finished, E::main_exited, P::finished, {}, {}},
    {P::finished, E::tree_changed, P::finished, {}, {}},
    {P::finished, E::tree_empty, P::finished, {}, {}},
    {P::finished, E::census, P::finished, {}, {}},
    {P::finished, E::removed, P::finished, {}, {}},
};

TEST(SupervisionTable, RepresentativesAreInTheirPhases) {
  for (const P phase : {P::starting, P::running, P::waiting, P::stopping, P::removing, P::finished}) {
    EXPECT_EQ(state_in(phase).phase, phase);
  }
}

TEST(SupervisionTable, AnswersEveryEventInEveryPhase) {
  std::set<std::pair<P, E>> seen;
  for (const Row& row : kTable) {
    SCOPED_TRACE(::testing::Message() << "phase " << static_cast<int>(row.phase) << " event "
                                      << static_cast<int>(row.event));
    EXPECT_TRUE(seen.emplace(row.phase, row.event).second) << "twice in the table";
    const RunStep next = step(kRules, state_in(row.phase), {.kind = row.event}, at(10));
    EXPECT_EQ(next.state.phase, row.after);
    EXPECT_EQ(next.actions, row.actions);
    EXPECT_EQ(next_deadline(next.state), row.deadline ? std::optional(at(*row.deadline)) : std::nullopt);
  }
  EXPECT_EQ(seen.size(), 6U * 13U) << "a pair of phase and event is missing in the table";
}

}  // namespace
}  // namespace reapctl::core
