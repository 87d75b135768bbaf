#include "core/signal_policy.hpp"

#include <csignal>

#include <gtest/gtest.h>

namespace reapctl::core {
namespace {

constexpr SignalContext kNoTerminal{.shared_group = false, .session_leader = false};
constexpr SignalContext kTerminal{.shared_group = true, .session_leader = false};
constexpr SignalContext kSessionLeader{.shared_group = true, .session_leader = true};

RunPlan stopping_on(std::set<int> signals) {
  RunPlan plan;
  plan.stop_on = std::move(signals);
  return plan;
}

SignalUse sent(int signal, const RunPlan& plan, const SignalContext& context = kNoTerminal) {
  return classify({.number = signal, .from_kernel = false}, context, plan);
}
SignalUse typed(int signal, const RunPlan& plan, const SignalContext& context = kTerminal) {
  return classify({.number = signal, .from_kernel = true}, context, plan);
}

const RunPlan kDefault = stopping_on({SIGINT, SIGTERM});

TEST(SignalPolicy, StopSignalsStopAndOthersAreForwarded) {
  for (const SignalContext& context : {kNoTerminal, kTerminal, kSessionLeader}) {
    EXPECT_EQ(sent(SIGINT, kDefault, context), SignalUse::stop);
    EXPECT_EQ(sent(SIGTERM, kDefault, context), SignalUse::stop);
    for (const int other : {SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGWINCH, SIGSEGV, SIGABRT, SIGSYS, SIGRTMIN,
                            SIGRTMIN + 3, SIGRTMAX}) {
      EXPECT_EQ(sent(other, kDefault, context), SignalUse::forward) << other;
    }
  }
}

TEST(SignalPolicy, StopOnChoosesWhichStop) {
  const RunPlan plan = stopping_on({SIGHUP, SIGRTMIN});
  EXPECT_EQ(sent(SIGHUP, plan), SignalUse::stop);
  EXPECT_EQ(sent(SIGRTMIN, plan), SignalUse::stop);
  EXPECT_EQ(sent(SIGTERM, plan), SignalUse::forward);
  EXPECT_EQ(sent(SIGTERM, stopping_on({})), SignalUse::forward);
}

TEST(SignalPolicy, SomeAreNeverForwarded) {
  for (const RunPlan& plan : {kDefault, stopping_on({SIGCHLD, SIGPIPE, SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU})}) {
    EXPECT_EQ(sent(SIGCHLD, plan), SignalUse::child_changed);
    EXPECT_EQ(sent(SIGPIPE, plan), SignalUse::ignore);
    EXPECT_EQ(sent(SIGCONT, plan), SignalUse::ignore);
    for (const int job : {SIGTSTP, SIGTTIN, SIGTTOU}) {
      EXPECT_EQ(sent(job, plan), SignalUse::job_stop);
      EXPECT_EQ(typed(job, plan), SignalUse::job_stop);
    }
  }
}

TEST(SignalPolicy, WhatIsTypedHasReachedTheCommandAlready) {
  EXPECT_EQ(typed(SIGINT, kDefault), SignalUse::typed_interrupt);
  EXPECT_EQ(typed(SIGQUIT, kDefault), SignalUse::ignore);
  EXPECT_EQ(typed(SIGWINCH, kDefault), SignalUse::ignore);
  EXPECT_EQ(typed(SIGQUIT, stopping_on({SIGQUIT})), SignalUse::ignore);
  EXPECT_EQ(typed(SIGINT, stopping_on({SIGTERM})), SignalUse::ignore) << "^C is no stop signal then";
}

TEST(SignalPolicy, AKernelSignalOutsideATerminalIsLikeAnyOther) {
  EXPECT_EQ(typed(SIGINT, kDefault, kNoTerminal), SignalUse::stop);  // PID 1 gets it for ctrl-alt-del
  EXPECT_EQ(typed(SIGUSR1, kDefault, kNoTerminal), SignalUse::forward);
}

TEST(SignalPolicy, AHangupReachesOnlyTheSessionLeader) {
  EXPECT_EQ(typed(SIGHUP, kDefault, kTerminal), SignalUse::ignore);
  EXPECT_EQ(typed(SIGHUP, kDefault, kSessionLeader), SignalUse::forward);
  EXPECT_EQ(typed(SIGHUP, stopping_on({SIGHUP}), kSessionLeader), SignalUse::stop);
  EXPECT_EQ(typed(SIGINT, kDefault, kSessionLeader), SignalUse::typed_interrupt);
}

TEST(SignalPolicy, WhatTheCallerIgnoresIsPassedOnAndDoesNothingElse) {
  RunPlan plan = kDefault;
  plan.signal_map = {{SIGUSR1, SIGTERM}, {SIGUSR2, 0}};
  const auto use = [&](int signal, const SignalContext& context, bool from_kernel) {
    return classify({.number = signal, .from_kernel = from_kernel, .ignored = true}, context, plan);
  };
  for (const SignalContext& context : {kNoTerminal, kTerminal, kSessionLeader}) {
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
      EXPECT_EQ(use(signal, context, false), SignalUse::forward) << signal;
    }
    for (const int signal : {SIGUSR1, SIGUSR2, SIGPIPE, SIGTSTP}) {
      EXPECT_EQ(use(signal, context, false), SignalUse::ignore) << signal;
    }
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGTSTP}) {
      EXPECT_EQ(classify_before_start({.number = signal, .from_kernel = false, .ignored = true}, context, plan),
                SignalUse::ignore);
    }
  }
  EXPECT_EQ(use(SIGINT, kTerminal, true), SignalUse::ignore) << "^C, which the command has had";
}

TEST(SignalPolicy, BeforeTheStartWhateverWouldEndACommandStops) {
  const auto early = [](int signal, const RunPlan& plan, const SignalContext& context, bool from_kernel) {
    return classify_before_start({.number = signal, .from_kernel = from_kernel}, context, plan);
  };
  for (const SignalContext& context : {kNoTerminal, kTerminal, kSessionLeader}) {
    for (const bool from_kernel : {false, true}) {
      for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGALRM, SIGRTMIN}) {
        EXPECT_EQ(early(signal, kDefault, context, from_kernel), SignalUse::stop) << signal;
      }
      for (const int signal : {SIGCHLD, SIGPIPE, SIGCONT, SIGWINCH, SIGURG}) {
        EXPECT_EQ(early(signal, kDefault, context, from_kernel), SignalUse::ignore) << signal;
      }
      for (const int signal : {SIGTSTP, SIGTTIN, SIGTTOU}) {
        EXPECT_EQ(early(signal, kDefault, context, from_kernel), SignalUse::job_stop) << signal;
      }
    }
  }
  RunPlan dropping = kDefault;
  dropping.signal_map = {{SIGHUP, 0}, {SIGUSR1, SIGUSR2}};
  EXPECT_EQ(early(SIGHUP, dropping, kNoTerminal, false), SignalUse::ignore) << "--map HUP:0";
  EXPECT_EQ(early(SIGUSR1, dropping, kNoTerminal, false), SignalUse::stop);
}

TEST(SignalPolicy, MapRewritesAndDrops) {
  RunPlan plan;
  plan.signal_map = {{SIGHUP, SIGUSR1}, {SIGUSR2, 0}};
  EXPECT_EQ(mapped_signal(SIGHUP, plan), SIGUSR1);
  EXPECT_EQ(mapped_signal(SIGUSR2, plan), 0);
  EXPECT_EQ(mapped_signal(SIGUSR1, plan), SIGUSR1) << "not mapped, and no chain";
}

}  // namespace
}  // namespace reapctl::core
