#include "support/process.hpp"
#include "support/reapctl.hpp"
#include "support/strace.hpp"

#include <csignal>
#include <string>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

/// A supervisor that neither works nor dies: the guard keeps the promise of --stop-timeout in its place.
namespace reapctl::test {
namespace {

/// Holds a process as a debugger does: SIGCONT does not help it, SIGKILL ends it.
class Held {
 public:
  explicit Held(pid_t pid) : pid_(pid) {
    held_ = ::ptrace(PTRACE_SEIZE, pid, nullptr, nullptr) == 0 &&
            ::ptrace(PTRACE_INTERRUPT, pid, nullptr, nullptr) == 0 && ::waitpid(pid, nullptr, __WALL) == pid;
    EXPECT_TRUE(held_) << describe(pid);
  }
  ~Held() {
    if (held_) (void)::ptrace(PTRACE_DETACH, pid_, nullptr, nullptr);
  }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

  /// The signal that killed it; 0 when patience ran out. Until then its parent cannot reap it.
  int await_death() {
    if (!held_ || !await_end(pid_)) return 0;
    held_ = false;
    int status = 0;
    return ::waitpid(pid_, &status, __WALL) == pid_ && WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  }

 private:
  pid_t pid_;
  bool held_ = false;
};

TEST(HungSupervisor, ThatNeverHearsOfTheRequestIsReplaced) {
  REQUIRE_STRACE();
  Roster roster;
  Reapctl reapctl(run_of({"--stop-timeout", "100ms"}, misbehave(roster, {"setsid", "ignore=INT,TERM", "ready=main"})));
  const auto processes = roster.await_roles({"main"});
  Held supervisor(supervisor_of(processes.at("main")));
  reapctl.send(SIGTERM);
  EXPECT_EQ(supervisor.await_death(), SIGKILL);
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 125);
  EXPECT_EQ(outcome.report["result"], "supervisor-died");
  EXPECT_FALSE(is_alive(processes.at("main")));
}

TEST(HungSupervisor, DoesNotKeepForwardedSignalsFromTheCommand) {
  REQUIRE_STRACE();
  Roster roster;
  Reapctl reapctl(run_of({}, misbehave(roster, {"on=USR1:say=usr1", "on=USR2:say=usr2", "ready=main"})));
  const auto processes = roster.await_roles({"main"});
  reapctl.send(SIGUSR1);  // whichever way it takes: then the supervisor has told the guard whom to send signals to
  EXPECT_EQ(roster.next().role, "usr1");
  {
    const Held supervisor(supervisor_of(processes.at("main")));
    reapctl.send(SIGUSR2);
    EXPECT_EQ(roster.next().role, "usr2");
  }
  reapctl.send(SIGTERM);
  EXPECT_EQ(reapctl.wait().report["result"], "stopped");
}

TEST(HungSupervisor, ThatHangsDuringTheStopIsReplaced) {
  REQUIRE_STRACE();
  Roster roster;
  Gate gate;
  // Nobody asks the guard for anything: the supervisor stops the leftover and tells him only that it has begun.
  Reapctl reapctl(run_of({"--stop-timeout", "3s", "--ladder", "INT:1h,KILL"},
                         misbehave(roster, {"fork", "[", "on=INT:say=told", "ready=child", "]", "ready=main",
                                            "await=" + gate.path(), "exit=0"})));
  const auto processes = roster.await_roles({"main", "child"});
  const pid_t pid = supervisor_of(processes.at("main"));
  gate.open();
  roster.await_roles({"told"});
  Held supervisor(pid);
  EXPECT_EQ(supervisor.await_death(), SIGKILL);
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 125);
  EXPECT_EQ(outcome.report["result"], "supervisor-died");
  EXPECT_FALSE(is_alive(processes.at("child")));
}

TEST(HungSupervisor, IsWaitedForWhereNothingLimitsTheStop) {
  REQUIRE_STRACE();
  Roster roster;
  Reapctl reapctl(run_of({}, misbehave(roster, {"ready=main"})));
  const auto processes = roster.await_roles({"main"});
  {
    const Held supervisor(supervisor_of(processes.at("main")));
    reapctl.send(SIGTERM);
  }
  EXPECT_EQ(reapctl.wait().report["result"], "stopped");
}

}  // namespace
}  // namespace reapctl::test
