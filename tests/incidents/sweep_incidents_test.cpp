#include "support/sweep_fixture.hpp"

#include <chrono>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

/// What the incidents promise of sweep.
namespace reapctl::test {
namespace {

namespace fs = std::filesystem;

/// Incident 2, hermes-agent pull request 16275: every tick of cron leaked servers that had called setsid, and the fix
/// that was rejected killed the jobs that were still running as well.
class Incident2 : public SweepFixture {
 protected:
  struct Job {
    std::unique_ptr<Reapctl> reapctl;
    Process main;
    Process server;
  };

  Job start_job() {
    Job job{.reapctl = start("main", {"fork", "[", "setsid", "ready=server", "]"}), .main = {}, .server = {}};
    auto processes = roster_.await_roles({"main", "server"});
    job.main = processes.at("main");
    job.server = processes.at("server");
    return job;
  }
};

TEST_F(Incident2, ADayOfTicksLeavesNothingAndDisturbsNobody) {
  constexpr int kTicks = 8;
  constexpr std::size_t kJobs = 7;
  constexpr std::size_t kCancelled = 3;
  std::vector<Job> going_on;
  for (int tick = 0; tick < kTicks; ++tick) {
    std::vector<Job> jobs;
    for (std::size_t i = 0; i < kJobs; ++i) jobs.push_back(start_job());
    for (std::size_t i = 0; i < kCancelled; ++i) orphan(*jobs[i].reapctl, jobs[i].main);
    const auto report = sweep({});
    EXPECT_EQ(report["summary"]["killed"], 2 * kCancelled);
    for (std::size_t i = 0; i < kJobs; ++i) {
      EXPECT_EQ(is_alive(jobs[i].server), i >= kCancelled);
      EXPECT_EQ(is_alive(jobs[i].main), i >= kCancelled);
    }
    for (const Job& job : going_on) EXPECT_TRUE(is_alive(job.server)) << "a sweep must not disturb it";
    for (Job& job : going_on) job.reapctl->send(SIGTERM);
    for (Job& job : going_on) (void)job.reapctl->wait();
    jobs.erase(jobs.begin(), jobs.begin() + kCancelled);
    going_on = std::move(jobs);
  }
  EXPECT_EQ(sweep({"--include-active"})["summary"]["runs_active"], 0) << "the final shutdown takes them all";
  for (const Job& job : going_on) EXPECT_FALSE(is_alive(job.server));
  for (Job& job : going_on) (void)job.reapctl->wait();
  EXPECT_TRUE(nothing_on_record());
  EXPECT_TRUE(fs::is_empty(base_));
}

/// Incident 4, omnigent pull request 1982: killed between spawn and registration.
class Incident4Sweep : public SweepFixture {
 protected:
  /// Every reapctl process of the run, the new process that has not become the command yet included.
  static void kill_all_of(pid_t front) {
    (void)::kill(front, SIGSTOP);  // our child, not reaped: the pid is its own
    std::vector<pid_t> pids = {front};
    for (std::size_t next = 0; next < pids.size(); ++next) {
      for (const pid_t child : children_of(pids[next])) {
        std::error_code gone;
        if (fs::read_symlink("/proc/" + std::to_string(child) + "/exe", gone) == reapctl_path()) pids.push_back(child);
      }
    }
    for (const pid_t pid : pids) (void)::kill(pid, SIGKILL);
  }

  /// Living processes below this one, zombies left out.
  static std::vector<std::string> living() {
    std::vector<std::string> found;
    for (const pid_t child : children_of(::getpid())) {
      const auto stat = read_stat(child);
      if (stat && stat->state != 'Z') found.push_back(describe(child));
    }
    return found;
  }
};

TEST_F(Incident4Sweep, KilledAtAnyInstantOfTheStartOneSweepFindsEverything) {
  const char* wanted = std::getenv("REAPCTL_TEST_CYCLES");
  const int cycles = wanted != nullptr ? std::atoi(wanted) : 60;
  const auto seed = static_cast<unsigned>(std::time(nullptr));
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::minstd_rand random(seed);
  for (int cycle = 0; cycle < cycles; ++cycle) {
    Reapctl run({.args = {"run", "--report", "none", "--workdir-base", base_, "--", "env", "-i", misbehave_path()},
                 .env = environment_,
                 .leaves_processes = true});
    // Not to synchronise, but to hit every instant there is.
    const timespec delay{.tv_sec = 0, .tv_nsec = static_cast<long>(random() % 12'000'000)};
    ::nanosleep(&delay, nullptr);
    kill_all_of(run.pid());
    (void)run.wait();
  }
  // Who was killed may still be dying, and a command about to begin may hold its lock: the sweep waits for that.
  const auto report = sweep({"--ladder", "KILL"});
  EXPECT_TRUE(await([] { return living().empty(); })) << testing::PrintToString(living());
  EXPECT_TRUE(nothing_on_record()) << report;
  EXPECT_TRUE(fs::is_empty(base_));
}

/// Incident 5, wool pull request 276: over 200 orphans.
class Incident5Sweep : public SweepFixture {};

TEST_F(Incident5Sweep, OneSweepWithAZeroBoundEndsTwoHundredDeafAndStoppedWorkers) {
  Args steps;
  for (int worker = 0; worker < 100; ++worker) {
    for (const char* step : {"fork", "[", "ignore=INT,TERM", "setsid", "ready=deaf", "]"}) steps.emplace_back(step);
    for (const char* step : {"fork", "[", "setsid", "env-clear", "ready=stopped", "stop-self", "]"})
      steps.emplace_back(step);
  }
  auto run = start("main", steps);
  std::vector<Process> workers;
  Process main;
  while (workers.size() < 200 || main.pid == 0) {
    const Process next = roster_.next();
    ASSERT_NE(next.pid, 0);
    if (next.role == "main") main = next;
    if (next.role != "main") workers.push_back(next);
  }
  orphan(*run, main);
  const auto report = sweep({"--ladder", "INT:0,KILL"});
  for (const Process& worker : workers) EXPECT_FALSE(is_alive(worker)) << worker.role;
  EXPECT_EQ(report["summary"]["killed"], 201);
  EXPECT_TRUE(nothing_on_record());
}

}  // namespace
}  // namespace reapctl::test
