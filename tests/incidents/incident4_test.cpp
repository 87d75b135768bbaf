#include "support/process.hpp"
#include "support/reapctl.hpp"
#include "support/strace.hpp"

#include <csignal>
#include <filesystem>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

/// Incident 4, omnigent pull request 1982: cancelled between spawn and registration. What `run` alone can answer: a
/// signal at any step of the start.
namespace reapctl::test {
namespace {

namespace fs = std::filesystem;

/// The nth call of this name.
struct Step {
  std::string call;
  int nth;
};

/// The system calls of a run, from the moment when signals are blocked to the first wait of the loop.
std::vector<Step> steps_of_a_start(Launch launch) {
  TempDir directory;
  launch.wrapper = strace(directory / "trace", {});
  EXPECT_EQ(run(std::move(launch)).code(), 0);
  std::vector<Step> steps;
  std::map<std::string, int> seen;
  bool blocked = false;
  std::istringstream trace(read_file(directory / "trace"));
  for (std::string line; std::getline(trace, line);) {
    const std::string name = line.substr(0, line.find('('));
    if (name.size() == line.size() || name.find(' ') != std::string::npos) continue;
    const int nth = ++seen[name];
    if (blocked) steps.push_back({.call = name, .nth = nth});
    blocked = blocked || name == "rt_sigprocmask";
    if (name.rfind("epoll_", 0) == 0 && name.find("wait") != std::string::npos) break;
  }
  return steps;
}

class Incident4 : public testing::Test {
 protected:
  Incident4() { fs::create_directory(base_); }

  /// One run that gets SIGTERM at that step. The command would live on.
  void stop_at(const Step& step) {
    SCOPED_TRACE(step.call + " " + std::to_string(step.nth));
    Launch launch = run_of({"--workdir-base", base_}, misbehave(roster_, {"ready=main"}));
    launch.wrapper =
        strace("/dev/null", {"-e", "inject=" + step.call + ":signal=SIGTERM:when=" + std::to_string(step.nth)});
    const Outcome outcome = run(std::move(launch));
    EXPECT_NE(outcome.code(), 0);
    EXPECT_EQ(outcome.report["result"], "stopped");
    EXPECT_TRUE(fs::is_empty(base_));
    for (const Process& process : roster_.take_all()) EXPECT_FALSE(is_alive(process)) << process.pid;
  }

  TempDir directory_;
  std::string base_ = directory_ / "base";
  Roster roster_;
};

TEST_F(Incident4, ASignalAtAnyStepOfTheStartLeavesNothing) {
  REQUIRE_STRACE();
  const std::vector<Step> steps = steps_of_a_start(run_of({"--workdir-base", base_}, {"true"}));
  EXPECT_GT(steps.size(), 10U);
  for (const Step& step : steps) {
    stop_at(step);
    if (HasFailure()) break;
  }
}

TEST_F(Incident4, TheStaleSocketIsGoneAfterASecondCancellation) {
  write_file(directory_ / "socket", "");
  Reapctl reapctl(run_of({"--remove", directory_ / "socket"}, misbehave(roster_, {"ignore=INT", "ready=main"})));
  roster_.await_roles({"main"});
  reapctl.send(SIGTERM);
  reapctl.send(SIGTERM);
  (void)reapctl.wait();
  EXPECT_FALSE(fs::exists(directory_ / "socket"));
}

}  // namespace
}  // namespace reapctl::test
