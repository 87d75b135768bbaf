#include "core/exit_status.hpp"

#include <cerrno>
#include <utility>

#include <gtest/gtest.h>

namespace reapctl::core {
namespace {

ExitStatus ended(int how, int code_or_signal) {
  siginfo_t info{};
  info.si_code = how;
  info.si_status = code_or_signal;
  return exit_status(info);
}

ExitStatus exited(int code) {
  return ended(CLD_EXITED, code);
}
ExitStatus killed(int signal) {
  return ended(CLD_KILLED, signal);
}
ExitStatus not_started(const char* stage, int code) {
  return {.kind = ExitKind::not_started, .code = {}, .signal = {}, .failed_stage = stage, .failed_errno = code};
}

Stop stopped_by(StopCause cause) {
  return {.cause = cause, .signal = {}, .sender_pid = {}, .at = {}};
}

const OkExit kOnlyZero;
const OkExit kThreeAndTerm{.codes = {3}, .signals = {SIGTERM}};

/// What reapctl exits with after a run that ended so.
int code(const std::optional<ExitStatus>& exit, const std::optional<Stop>& stop = std::nullopt,
         const OkExit& ok = kOnlyZero, bool survivors = false) {
  return exit_code(run_result(stop, exit, ok), exit, ok, survivors);
}

TEST(ExitStatusOf, TellsTheThreeWaysToEndApart) {
  EXPECT_EQ(exited(7).kind, ExitKind::exited);
  EXPECT_EQ(exited(7).code, 7);
  EXPECT_FALSE(exited(7).signal);
  EXPECT_EQ(killed(SIGKILL).kind, ExitKind::killed);
  EXPECT_EQ(killed(SIGKILL).signal, SIGKILL);
  EXPECT_FALSE(killed(SIGKILL).code);
  EXPECT_EQ(ended(CLD_DUMPED, SIGSEGV).kind, ExitKind::dumped);
  EXPECT_EQ(ended(CLD_DUMPED, SIGSEGV).signal, SIGSEGV);
}

TEST(Succeeded, MeansZeroOrWhatOkExitNames) {
  EXPECT_TRUE(succeeded(exited(0), kOnlyZero));
  EXPECT_FALSE(succeeded(exited(3), kOnlyZero));
  EXPECT_FALSE(succeeded(killed(SIGTERM), kOnlyZero));
  EXPECT_TRUE(succeeded(exited(0), kThreeAndTerm));
  EXPECT_TRUE(succeeded(exited(3), kThreeAndTerm));
  EXPECT_TRUE(succeeded(killed(SIGTERM), kThreeAndTerm));
  EXPECT_FALSE(succeeded(exited(SIGTERM), kThreeAndTerm)) << "a code is not a signal";
  EXPECT_FALSE(succeeded(killed(3), kThreeAndTerm));
  EXPECT_FALSE(succeeded(not_started("exec", ENOENT), kThreeAndTerm));
}

TEST(RunResultOf, FollowsTheOrderOfPrecedence) {
  const Stop timeout = stopped_by(StopCause::timeout);
  const Stop signal = stopped_by(StopCause::signal);
  EXPECT_EQ(run_result(timeout, not_started("exec", ENOENT), kOnlyZero), RunResult::not_started);
  EXPECT_EQ(run_result(timeout, killed(SIGKILL), kOnlyZero), RunResult::timeout);
  EXPECT_EQ(run_result(timeout, std::nullopt, kOnlyZero), RunResult::timeout);
  EXPECT_EQ(run_result(signal, ended(CLD_DUMPED, SIGABRT), kOnlyZero), RunResult::stopped);
  EXPECT_EQ(run_result(signal, exited(0), kOnlyZero), RunResult::stopped);
  EXPECT_EQ(run_result(stopped_by(StopCause::die_with), exited(0), kOnlyZero), RunResult::stopped);
  EXPECT_EQ(run_result({}, ended(CLD_DUMPED, SIGABRT), kOnlyZero), RunResult::core_dump);
  EXPECT_EQ(run_result({}, killed(SIGABRT), kOnlyZero), RunResult::signal);
  EXPECT_EQ(run_result({}, exited(1), kOnlyZero), RunResult::exit_code);
  EXPECT_EQ(run_result({}, exited(0), kOnlyZero), RunResult::success);
  EXPECT_EQ(run_result({}, killed(SIGTERM), kThreeAndTerm), RunResult::success);
}

TEST(RunResultOf, TheDeathOfAReapctlProcessComesBeforeAllElse) {
  for (const auto& [cause, result] : {std::pair(StopCause::guard_death, RunResult::guard_died),
                                      std::pair(StopCause::supervisor_death, RunResult::supervisor_died)}) {
    EXPECT_EQ(run_result(stopped_by(cause), not_started("exec", ENOENT), kOnlyZero), result);
    EXPECT_EQ(run_result(stopped_by(cause), exited(0), kOnlyZero), result);
    EXPECT_EQ(code(exited(0), stopped_by(cause)), 125);
    EXPECT_EQ(code(killed(SIGTERM), stopped_by(cause), kThreeAndTerm), 125);
    EXPECT_EQ(code(std::nullopt, stopped_by(cause)), 125);
  }
}

TEST(RunResultOf, StoppedLeftoversDoNotChangeWhatTheCommandWas) {
  const Stop leftovers = stopped_by(StopCause::leftovers);
  EXPECT_EQ(run_result(leftovers, exited(0), kOnlyZero), RunResult::success);
  EXPECT_EQ(run_result(leftovers, exited(4), kOnlyZero), RunResult::exit_code);
}

TEST(RunResultOf, ACommandThatCouldNotBeKilledWasStopped) {
  EXPECT_EQ(run_result(stopped_by(StopCause::signal), std::nullopt, kOnlyZero), RunResult::stopped);
}

TEST(ExitCode, IsTheCommandsOwn) {
  for (const int own : {0, 1, 75, 124, 125, 126, 127, 128, 255}) EXPECT_EQ(code(exited(own)), own);
}

TEST(ExitCode, Is128PlusTheSignal) {
  EXPECT_EQ(code(killed(SIGTERM)), 143);
  EXPECT_EQ(code(ended(CLD_DUMPED, SIGSEGV)), 139);
  EXPECT_EQ(code(killed(SIGRTMAX)), 128 + SIGRTMAX);
  EXPECT_EQ(code(killed(SIGTERM), stopped_by(StopCause::signal)), 143);
}

TEST(ExitCode, Is124ForATimeoutWhateverTheCommandMadeOfIt) {  // fact 25
  const Stop timeout = stopped_by(StopCause::timeout);
  EXPECT_EQ(code(exited(0), timeout), 124);
  EXPECT_EQ(code(killed(SIGKILL), timeout), 124);
  EXPECT_EQ(code(exited(3), timeout, kThreeAndTerm), 124) << "--ok-exit never turns a timeout into success";
  EXPECT_EQ(code(std::nullopt, timeout), 124);
  EXPECT_EQ(code(exited(0), timeout, kOnlyZero, true), 124);
}

TEST(ExitCode, IsZeroForWhatOkExitNames) {
  EXPECT_EQ(code(exited(3), {}, kThreeAndTerm), 0);
  EXPECT_EQ(code(killed(SIGTERM), {}, kThreeAndTerm), 0);
  EXPECT_EQ(code(killed(SIGTERM), stopped_by(StopCause::signal), kThreeAndTerm), 0);
  EXPECT_EQ(code(exited(4), {}, kThreeAndTerm), 4);
}

TEST(ExitCode, SaysWhyTheCommandWasNotExecuted) {
  EXPECT_EQ(code(not_started("exec", ENOENT)), 127);
  for (const int other : {EACCES, ENOTDIR, E2BIG, ETXTBSY, ENOEXEC, ELOOP}) {
    EXPECT_EQ(code(not_started("exec", other)), 126) << other;
  }
  for (const char* stage : {"fork", "chdir", "no-new-privs", "die-with"}) {
    EXPECT_EQ(code(not_started(stage, ENOENT)), 125) << stage;
  }
}

TEST(ExitCode, Is125IfSomethingSurvivedAlthoughAllWentWell) {
  EXPECT_EQ(code(exited(0), {}, kOnlyZero, true), 125);
  EXPECT_EQ(code(exited(3), {}, kThreeAndTerm, true), 125);
  EXPECT_EQ(code(exited(4), {}, kOnlyZero, true), 4) << "the command's own failure says more";
  EXPECT_EQ(code(std::nullopt, stopped_by(StopCause::signal), kOnlyZero, true), 125);
}

TEST(HasFailed, EverythingOfWhichSomebodyShouldHear) {
  const auto failed = [](RunResult result, int exit_code, int survivors = 0) {
    RunReport report;
    report.result = result;
    report.exit_code = exit_code;
    report.tree.survivors_total = survivors;
    return has_failed(report);
  };
  EXPECT_FALSE(failed(RunResult::success, 0));
  EXPECT_FALSE(failed(RunResult::overlap, 0)) << "skipped";
  EXPECT_TRUE(failed(RunResult::overlap, kExitOverlap));
  EXPECT_TRUE(failed(RunResult::success, 125, 1)) << "something survived";
  EXPECT_TRUE(failed(RunResult::success, 0, 1));
  EXPECT_TRUE(failed(RunResult::stopped, 0)) << "even if the command exits 0";
  for (const RunResult result : {RunResult::supervisor_died, RunResult::guard_died, RunResult::not_started,
                                 RunResult::timeout, RunResult::core_dump, RunResult::signal, RunResult::exit_code}) {
    EXPECT_TRUE(failed(result, 0));
  }
}

}  // namespace
}  // namespace reapctl::core
