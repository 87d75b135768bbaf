#pragma once

#include "core/supervision.hpp"

#include <chrono>
#include <csignal>
#include <optional>
#include <utility>
#include <vector>

#include <gmock/gmock.h>

/// For tests of the run's state machine.
namespace reapctl::core {

using P = RunPhase;
using E = RunEventKind;
using A = RunAction;

inline const TimePoint kStart{std::chrono::hours(1000)};

inline TimePoint at(int ms) {
  return kStart + Millis(ms);
}

inline constexpr Rung kInt{.signal = SIGINT, .if_ignored = {}, .bound = Millis(5000)};
inline constexpr Rung kTerm{.signal = SIGTERM, .if_ignored = {}, .bound = Millis(2000)};

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

inline Story running(SupervisionRules rules = {.ladder = {kInt, kTerm}}) {
  Story run(std::move(rules));
  EXPECT_THAT(run.on(0, E::started), testing::IsEmpty());
  return run;
}

}  // namespace reapctl::core
