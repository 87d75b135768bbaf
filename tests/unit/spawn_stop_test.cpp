#include "engine/spawn.hpp"
#include "support/environment.hpp"
#include "support/forked.hpp"
#include "support/process.hpp"
#include "support/reapctl.hpp"
#include "sys/children.hpp"

#include <csignal>
#include <fcntl.h>
#include <functional>
#include <span>
#include <string>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

/// ^Z between the birth of the command and its exec, when who starts it waits for that exec and hears nothing.
namespace reapctl::engine {
namespace {

/// Called in the new process while its signals are still blocked.
void stop_oneself(std::span<char> /*slot*/, const core::MainOnRecord& main) {
  (void)::kill(main.id.pid, SIGTSTP);
}

SpawnRequest stopped_before_its_exec(int record, std::vector<std::string> command) {
  SpawnRequest request;
  request.argv = std::move(command);
  request.note = {.fd = record, .offset = 0, .size = 1, .fill = stop_oneself};
  return request;
}

class SpawnStop : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0); }
  void TearDown() override {
    (void)test::kill_leftovers({});
    (void)::prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
  }

  /// Whether `body` holds in a process as reapctl is one, in a group of the session that is no orphan: there SIGTSTP
  /// stops. False also when it does not come to an end.
  static bool holds_in_a_job(const std::function<bool()>& body) {
    const pid_t job = test::must_fork();
    if (job == 0) {
      (void)::setpgid(0, 0);
      (void)::signal(SIGTSTP, SIG_DFL);
      sigset_t all;
      sigfillset(&all);
      (void)::sigprocmask(SIG_SETMASK, &all, nullptr);
      ::_exit(body() ? 0 : 1);
    }
    int status = -1;
    return test::await_end(job) && ::waitpid(job, &status, 0) == job && status == 0;
  }

  /// What becomes of a child first.
  static int next_status(pid_t pid) {
    int status = 0;
    return ::waitpid(pid, &status, WUNTRACED) == pid ? status : -1;
  }

  sys::UniqueFd record_{::memfd_create("record", MFD_CLOEXEC)};
};

TEST_F(SpawnStop, TheCommandStopsBehindItsExec) {
  EXPECT_TRUE(holds_in_a_job([this] {
    const Spawned spawned = spawn(stopped_before_its_exec(record_.get(), {"sleep", "1000"}));
    const int status = next_status(spawned.pid);
    return WIFSTOPPED(status) && WSTOPSIG(status) == SIGTSTP && ::kill(spawned.pid, SIGKILL) == 0 &&
           WIFSIGNALED(next_status(spawned.pid));
  }));
}

TEST_F(SpawnStop, WhatTheCallerIgnoresIsIgnored) {
  EXPECT_TRUE(holds_in_a_job([this] {
    (void)::signal(SIGTSTP, SIG_IGN);
    const Spawned spawned = spawn(stopped_before_its_exec(record_.get(), {"/bin/sh", "-c", "kill -TSTP $$; exit 7"}));
    const int status = next_status(spawned.pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 7;
  }));
}

TEST_F(SpawnStop, TheNextCommandIsNotStopped) {
  EXPECT_TRUE(holds_in_a_job([this] {
    SpawnRequest request = stopped_before_its_exec(record_.get(), {"sleep", "1000"});
    const Spawned first = spawn(request);
    (void)::kill(first.pid, SIGKILL);
    sys::wait_and_reap(first.pid);
    request.note = {};
    const Spawned second = spawn(request);
    (void)::kill(second.pid, SIGPROF);  // a pending SIGTSTP has the smaller number and goes first
    const int status = next_status(second.pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGPROF;
  }));
}

}  // namespace
}  // namespace reapctl::engine
