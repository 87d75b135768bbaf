#include "support/json_sink.hpp"
#include "support/process.hpp"
#include "support/reapctl.hpp"
#include "support/sweep_fixture.hpp"

#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <unistd.h>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace reapctl::test {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class Sweep : public SweepFixture {
 protected:
  /// What is not easily deleted: files in depth, and directories that nobody may enter.
  static void fill(const fs::path& workdir) {
    for (int i = 0; i < 20; ++i) {
      fs::path deep = workdir / std::to_string(i);
      for (int level = 0; level < 20; ++level) deep /= "deeper";
      fs::create_directories(deep);
      for (const char* name : {"one", "two", "three"}) write_file(deep / name, "content");
      fs::permissions(workdir / std::to_string(i), fs::perms::none);
    }
  }
};

const std::map<std::string, Args> kKinds = {
    {"plain", {}},
    {"setsid", {"fork", "[", "setsid", "ready=setsid-child", "]"}},
    {"daemon", {"double-fork", "[", "setsid", "ready=daemon-child", "]"}},
    {"cleared", {"env-clear", "fork", "[", "ready=cleared-child", "]"}},
    {"overwritten", {"env-overwrite", "fork", "[", "ready=overwritten-child", "]"}},
    {"deaf", {"ignore=INT,TERM"}},
    {"stopped", {}},
    {"listening", {"listen"}},
    {"hungry", {"fork", "[", "fork", "[", "ready=hungry-child", "]", "]"}},
};

TEST_F(Sweep, EndsTheOrphansOfEveryKindAndNoActiveRun) {
  std::map<std::string, std::unique_ptr<Reapctl>> orphans;
  std::map<std::string, std::unique_ptr<Reapctl>> active;
  std::vector<std::string> roles;
  for (const auto& [kind, steps] : kKinds) {
    for (const bool dies : {true, false}) {
      const std::string role = kind + (dies ? "" : "-active");
      Args own_steps = steps;
      for (std::string& step : own_steps) {
        if (!dies && step.starts_with("ready=")) step += "-active";
        if (step.starts_with("ready=")) roles.push_back(step.substr(6));
      }
      roles.push_back(role);
      (dies ? orphans : active)[kind] = start(role, own_steps, {"--ladder", "KILL"});
    }
  }
  const auto processes = roster_.await_roles(roles);
  for (const auto& workdir : fs::directory_iterator(base_)) fill(workdir.path());
  for (auto& [kind, reapctl] : orphans) orphan(*reapctl, processes.at(kind));

  const auto report = sweep({"--ladder", "INT/TERM:200ms,KILL"});
  for (const auto& [role, process] : processes) {
    if (role.starts_with("listen:")) continue;  // the port, said by a process that has a role besides
    EXPECT_EQ(is_alive(process), role.ends_with("-active")) << role << " " << describe(process.pid);
  }
  EXPECT_EQ(report["runs"].size(), kKinds.size());
  EXPECT_EQ(report["summary"]["runs_active"], kKinds.size());
  EXPECT_THAT(report["unknown"], IsEmpty());
  EXPECT_THAT(report["survivors"], IsEmpty());
  EXPECT_THAT(report["summary"]["bytes_freed"].get<std::int64_t>(), testing::Gt(0));
  EXPECT_EQ(std::distance(fs::directory_iterator(base_), fs::directory_iterator()),
            static_cast<std::ptrdiff_t>(active.size()));
  for (const auto& run : report["runs"]) EXPECT_TRUE(run["clean"]) << run;
  EXPECT_THAT(strings(report["victims"], "listening"), Contains(HasSubstr("127.0.0.1:")));

  for (auto& [kind, reapctl] : active) {
    reapctl->send(SIGTERM);
    (void)reapctl->wait();
  }
  EXPECT_TRUE(nothing_on_record());
  EXPECT_TRUE(fs::is_empty(base_));
}

TEST_F(Sweep, WithNothingToDoItEndsAtOnceAndLooksAtNoProcess) {
  auto run = start("main", {});
  (void)roster_.next();
  const auto report = sweep({});
  EXPECT_EQ(report["summary"]["processes_examined"], 0);
  EXPECT_EQ(report["summary"]["runs_active"], 1);
  EXPECT_THAT(strings(report["skipped"], "verdict"), ElementsAre("active"));
  run->send(SIGTERM);
  (void)run->wait();
}

TEST_F(Sweep, DryRunSaysAllAndChangesNothing) {
  auto run = start("main", {"env-clear"}, {"--name", "job", "--remove", directory_ / "socket"});
  const Process main = roster_.next();
  orphan(*run, main);
  write_file(directory_ / "socket", "");
  const fs::path record = only_entry() / "record.json";
  const std::string before = read_file(record);
  const auto report = sweep({"-n"});
  EXPECT_TRUE(report["dry_run"]);
  ASSERT_EQ(report["victims"].size(), 1U);
  EXPECT_EQ(report["victims"][0]["pid"], main.pid);
  EXPECT_EQ(report["victims"][0]["start_ticks"], main.start_ticks);
  EXPECT_EQ(report["victims"][0]["identified_by"], nlohmann::json({"recorded"}));
  EXPECT_EQ(report["victims"][0]["name"], "job");
  EXPECT_EQ(report["runs"][0]["remove"], nlohmann::json({directory_ / "socket"}));
  EXPECT_TRUE(is_alive(main));
  EXPECT_EQ(read_file(record), before);
  EXPECT_FALSE(fs::is_empty(base_));
  EXPECT_TRUE(fs::exists(directory_ / "socket"));
  EXPECT_EQ(sweep({"-n", "--fail-if-found"}, 3)["exit_code"], 3);
  EXPECT_EQ(sweep({"--fail-if-found", "--ladder", "KILL"}, 3)["exit_code"], 3);
  EXPECT_FALSE(is_alive(main));
  EXPECT_FALSE(fs::exists(directory_ / "socket"));
  EXPECT_EQ(sweep({"--fail-if-found"})["exit_code"], 0);
}

TEST_F(Sweep, NarrowsByRunNameAndAge) {
  auto one = start("one", {}, {"--name", "one"});
  const Process first = roster_.next();
  auto two = start("two", {}, {"--name", "two"});
  const Process second = roster_.next();
  orphan(*one, first);
  orphan(*two, second);
  EXPECT_THAT(sweep({"--older-than", "1h"})["runs"], IsEmpty());
  EXPECT_EQ(strings(sweep({"-n", "--name", "two"})["runs"], "name"), std::vector<std::string>{"two"});
  const std::string id = sweep({"-n", "--name", "two"})["runs"][0]["run_id"];
  EXPECT_EQ(strings(sweep({"--ladder", "KILL", id.substr(0, 12)})["runs"], "name"), std::vector<std::string>{"two"});
  EXPECT_TRUE(is_alive(first));
  EXPECT_FALSE(is_alive(second));
  (void)sweep({"--ladder", "KILL"});
  EXPECT_FALSE(is_alive(first));
}

TEST_F(Sweep, TheInnermostRunDecides) {
  // Inside of the outer run an inner one is active. The outer one dies; the inner one goes on, its command too.
  Args inner = {reapctl_path(), "run", "--report", "none", "--workdir-base", base_, "--"};
  for (std::string& word : misbehave(roster_, {"ready=inner"})) inner.push_back(word);
  std::string script = "exec";
  for (const std::string& word : inner) script += " '" + word + "'";
  auto outer = start("outer", {"fork", "[", "exec", "sh", "-c", script, "]"}, {"--name", "outer"});
  const auto processes = roster_.await_roles({"outer", "inner"});
  orphan(*outer, processes.at("outer"));
  const auto report = sweep({"--ladder", "KILL"}, 0);
  EXPECT_FALSE(is_alive(processes.at("outer")));
  EXPECT_TRUE(is_alive(processes.at("inner")));
  EXPECT_EQ(report["summary"]["runs_active"], 1);
  EXPECT_THAT(report["runs"][0]["reason"].dump(), HasSubstr("inside of it is active"));
  EXPECT_THAT(strings(sweep({"-n"})["skipped"], "verdict"), testing::UnorderedElementsAre("active", "orphaned"));
  EXPECT_EQ(reapctl({"stop", "--name", "misbehave"}).code(), 0);
  EXPECT_FALSE(is_alive(processes.at("inner")));
  (void)sweep({});
  EXPECT_TRUE(nothing_on_record());
  EXPECT_TRUE(fs::is_empty(base_));
}

TEST_F(Sweep, AReleasedRunIsNeverSignalledAndItsRecordGoesWithIt) {
  auto run = start("main", {"fork", "[", "ready=left", "]", "exit=0"}, {"--leftovers", "leave"});
  const Process left = roster_.await_roles({"left"}).at("left");
  EXPECT_EQ(run->wait().code(), 0);
  const auto report = sweep({});
  EXPECT_TRUE(is_alive(left));
  EXPECT_THAT(strings(report["skipped"], "verdict"), ElementsAre("released"));
  EXPECT_FALSE(nothing_on_record());
  send_signal(left.pid, SIGKILL);
  EXPECT_TRUE(await_end(left.pid));
  EXPECT_THAT(strings(sweep({})["removed"], "kind"), ElementsAre("workdir", "record"));
  EXPECT_TRUE(nothing_on_record());
  EXPECT_TRUE(fs::is_empty(base_));
}

TEST_F(Sweep, IncludeActiveGoesThroughTheRunsOwnReapctl) {
  auto run = start("main", {"on=INT:exit=7"});
  (void)roster_.next();
  const auto report = sweep({"--include-active"});
  EXPECT_EQ(report["runs"][0]["verdict"], "active");
  EXPECT_TRUE(report["runs"][0]["clean"]);
  EXPECT_EQ(run->wait().code(), 7);
  EXPECT_TRUE(nothing_on_record());
}

TEST_F(Sweep, ASweepFromInsideOfARunSparesIt) {
  const Outcome outcome = reapctl({"run", "--report", "none", "--workdir-base", base_, "--", reapctl_path(), "sweep",
                                   "--include-active", "--json"});
  EXPECT_EQ(outcome.code(), 0) << outcome.out;
  EXPECT_THAT(outcome.out, HasSubstr("runs inside of it"));
}

TEST_F(Sweep, TwoSweepsAtOnceKillEverythingOnceAndNoActiveRun) {
  std::vector<std::unique_ptr<Reapctl>> runs;
  std::vector<Process> processes;
  std::vector<std::unique_ptr<Reapctl>> active_runs;
  std::vector<Process> active;
  for (int i = 0; i < 4; ++i) {
    active_runs.push_back(start("active", {}));
    active.push_back(roster_.next());
  }
  for (int i = 0; i < 6; ++i) {
    runs.push_back(start("main", {"ignore=INT,TERM"}));
    processes.push_back(roster_.next());
  }
  for (std::size_t i = 0; i < runs.size(); ++i) orphan(*runs[i], processes[i]);
  const Launch sweeping{
      .args = {"sweep", "--json", "--ladder", "INT:200ms,KILL"}, .env = environment_, .leaves_processes = true};
  Reapctl first(sweeping);
  Reapctl second(sweeping);
  const Outcome one = first.wait();
  const Outcome other = second.wait();
  EXPECT_EQ(one.code(), 0) << one.out;
  EXPECT_EQ(other.code(), 0) << other.out;
  const auto count = [](const Outcome& outcome) {
    return nlohmann::json::parse(outcome.out)["summary"]["killed"].get<int>();
  };
  EXPECT_EQ(count(one) + count(other), 6);
  for (const Process& process : processes) EXPECT_FALSE(is_alive(process));
  for (std::size_t i = 0; i < active.size(); ++i) {
    EXPECT_TRUE(is_alive(active[i]));
    active_runs[i]->send(SIGTERM);
    EXPECT_EQ(active_runs[i]->wait().code(), 128 + SIGINT);
  }
  EXPECT_TRUE(nothing_on_record());
  EXPECT_TRUE(fs::is_empty(base_));
}

TEST_F(Sweep, MatchesProcessesThatReapctlDidNotStart) {
  auto run = start("protected", {}, {"--name", "protected"});
  const Process in_run = roster_.next();
  const Args command = misbehave(roster_, {"listen", "fork", "[", "env-clear", "ready=child", "]", "ready=stray"});
  Args words = command;
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const pid_t stray_pid = ::fork();
  if (stray_pid == 0) {
    ::setsid();
    ::setenv("STRAY", directory_.path().c_str(), 1);
    ::execv(argv[0], argv.data());
    ::_exit(98);
  }
  std::map<std::string, Process> processes;
  std::string port;
  while (processes.count("stray") == 0 || processes.count("child") == 0) {
    const Process next = roster_.next();
    ASSERT_NE(next.pid, 0);
    if (next.role.starts_with("listen:")) port = next.role.substr(7);
    processes[next.role] = next;
  }
  const std::string pid = std::to_string(stray_pid);
  EXPECT_EQ(reapctl({"sweep", "--match-pid", pid}).code(), 125) << "nobody said yes";
  EXPECT_TRUE(is_alive(processes["stray"]));
  EXPECT_THAT(sweep({"-n", "--match-env", "STRAY=other"})["victims"], IsEmpty());
  EXPECT_THAT(sweep({"-n", "--match-port", port, "--match-env", "STRAY=other"})["victims"], IsEmpty());
  const std::string in_run_pid = std::to_string(in_run.pid);
  EXPECT_THAT(strings(sweep({"-y", "--match-pid", in_run_pid}, 4)["unknown"], "reason"),
              ElementsAre(HasSubstr("active run")));
  EXPECT_TRUE(is_alive(in_run));
  const auto report = sweep({"-y", "--match-port", port, "--match-env", "STRAY=" + directory_.path().string()});
  EXPECT_THAT(strings(report["victims"], "identified_by"),
              testing::UnorderedElementsAre(R"(["match-port","match-env"])", R"(["descendant"])"));
  EXPECT_FALSE(is_alive(processes["stray"]));
  EXPECT_FALSE(is_alive(processes["child"]));
  for (const char* broad : {"/", "~"}) {
    const std::string path = broad == std::string("~") ? std::getenv("HOME") : broad;
    EXPECT_EQ(reapctl({"sweep", "-y", "--match-cwd", path}).code(), 125);
  }
  run->send(SIGTERM);
  (void)run->wait();
}

TEST_F(Sweep, GithubGetsOneEscapedWarningAndASummary) {
  auto run = start("main", {}, {"--name", "50%<b>"});
  orphan(*run, roster_.next());
  environment_["GITHUB_STEP_SUMMARY"] = directory_ / "summary";
  EXPECT_THAT(reapctl({"sweep", "-n", "--format", "github"}).out, HasSubstr("Would kill 1 process"));
  EXPECT_FALSE(std::filesystem::exists(directory_ / "summary")) << "a dry run changes nothing";
  const Outcome outcome = reapctl({"sweep", "--format", "github", "--ladder", "KILL"});
  EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 1) << outcome.out;
  EXPECT_THAT(outcome.out, testing::StartsWith("::warning title=reapctl sweep::Killed 1 process"));
  EXPECT_THAT(outcome.out, HasSubstr("50%25<b>"));
  EXPECT_THAT(read_file(directory_ / "summary"), HasSubstr("50%&lt;b&gt;"));
  std::filesystem::remove(directory_ / "summary");
  EXPECT_EQ(reapctl({"sweep", "--format", "github"}).out, "");
  EXPECT_FALSE(std::filesystem::exists(directory_ / "summary")) << "there was nothing";
}

}  // namespace
}  // namespace reapctl::test
