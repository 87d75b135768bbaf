#include "support/cgroup.hpp"
#include "support/json_sink.hpp"
#include "support/namespace.hpp"
#include "support/process.hpp"
#include "support/reapctl.hpp"
#include "support/tool.hpp"

#include <csignal>
#include <filesystem>
#include <string>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

/// A cgroup of the run's own. That none is left behind is checked with every report (support/reapctl.cpp).
namespace reapctl::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::StartsWith;

constexpr uid_t kNobody = 65534;

TEST(Contain, AutoTakesACgroupWhereOneCanBeHadAndTheCommandIsBornInIt) {
  REQUIRE_CGROUP();
  const Outcome outcome = run(run_of({}, sh("cat /proc/self/cgroup; sleep 0 & wait")));
  const auto& containment = outcome.report["containment"];
  EXPECT_EQ(containment["mode"], "cgroup");
  EXPECT_THAT(containment["why"], StartsWith("auto: "));
  const std::string name = "reapctl-" + outcome.report["run_id"].get<std::string>();
  EXPECT_EQ(containment["cgroup"]["path"], own_cgroup() + "/" + name);
  EXPECT_THAT(outcome.out, HasSubstr("/" + name + "\n"));
  EXPECT_GT(containment["cgroup"]["cpu_usage_us"], 0);
  EXPECT_TRUE(outcome.report["warnings"].empty()) << outcome.report["warnings"];
}

TEST(Contain, SubreaperMakesNone) {
  const Outcome outcome = run(run_of({"--contain", "subreaper"}, {"true"}));
  EXPECT_EQ(outcome.report["containment"]["mode"], "subreaper");
  EXPECT_EQ(outcome.report["containment"]["why"], "asked for");
  EXPECT_TRUE(outcome.report["containment"]["cgroup"].is_null());
}

TEST(Contain, TheEnvironmentFormIsHeardAndNotPassedOn) {
  Launch launch = run_of({}, sh("echo \"<$REAPCTL_OPT_CONTAIN>\""));
  launch.env["REAPCTL_OPT_CONTAIN"] = "subreaper";
  const Outcome outcome = run(std::move(launch));
  EXPECT_EQ(outcome.report["containment"]["why"], "asked for");
  EXPECT_EQ(outcome.out, "<>\n");
  EXPECT_EQ(run({.args = {"run", "--contain", "jail", "--", "true"}}).code(), 125);
}

class AsNobody : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to become another user";
    if (quiet_status({"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", reapctl_path(), "--version"}) !=
        0) {
      GTEST_SKIP() << "no setpriv, or another user can't get at the build directory";
    }
    fs::permissions(directory_.path(), fs::perms::all);
  }

  /// Runs the command as an ordinary user, from within `cgroup` if it is not empty.
  Outcome run_as_nobody(Args options, const Args& command, const std::string& cgroup = {}) {
    options.insert(options.begin(), {"run", "--report", directory_ / "report"});
    options.emplace_back("--");
    options.insert(options.end(), command.begin(), command.end());
    Outcome outcome = run({.args = std::move(options),
                           .wrapper = {"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"},
                           .env = {{"REAPCTL_REGISTRY", directory_ / "registry"}},
                           .cwd = "/",
                           .before_exec = [&cgroup] {
                             if (!cgroup.empty() && !enter_cgroup(cgroup, ::getpid())) ::_exit(96);
                           }});
    outcome.report_text = read_file(directory_ / "report");
    outcome.report = nlohmann::json::parse(outcome.report_text, nullptr, false);
    return outcome;
  }

  TempDir directory_;
};

TEST_F(AsNobody, AutoDoesWithoutAndSaysWhy) {
  const Outcome outcome = run_as_nobody({}, {"true"});
  EXPECT_EQ(outcome.code(), 0) << outcome.err;
  EXPECT_EQ(outcome.report["containment"]["mode"], "subreaper");
  EXPECT_THAT(outcome.report["containment"]["why"], StartsWith("auto: no cgroup, cannot "));
}

TEST_F(AsNobody, WhatWasAskedForAndCannotBeHadIsAnErrorBeforeAnythingStarts) {
  const Outcome outcome = run_as_nobody({"--contain", "cgroup"}, {"touch", directory_ / "started"});
  EXPECT_EQ(outcome.code(), 125);
  EXPECT_THAT(outcome.err, HasSubstr("--contain cgroup: cannot "));
  EXPECT_FALSE(fs::exists(directory_ / "started"));
  EXPECT_TRUE(outcome.report_text.empty());
  std::error_code absent;
  EXPECT_TRUE(!fs::exists(directory_ / "registry", absent) || fs::is_empty(directory_ / "registry"));
}

TEST_F(AsNobody, ADelegatedCgroupIsUsed) {
  REQUIRE_CGROUP();
  const TestCgroup delegated;
  delegated.delegate(kNobody);
  const Outcome outcome =
      run_as_nobody({"--contain", "cgroup"}, sh("setsid sleep 1000 & cat /proc/self/cgroup"), delegated.path());
  EXPECT_EQ(outcome.code(), 0) << outcome.err;
  EXPECT_THAT(outcome.report["containment"]["cgroup"]["path"], StartsWith(delegated.path() + "/reapctl-"));
  EXPECT_THAT(outcome.out, HasSubstr(fs::path(delegated.path()).filename().string() + "/reapctl-"));
  EXPECT_EQ(outcome.report["tree"]["leftovers"].size(), 1U);
  EXPECT_FALSE(fs::exists(outcome.report["containment"]["cgroup"]["path"].get<std::string>()));
}

TEST(Contain, CgroupsThatTheCommandMadeGoToo) {
  REQUIRE_CGROUP();
  Roster roster;
  Reapctl reapctl(run_of({"--contain", "cgroup", "--ladder", "KILL"},
                         misbehave(roster, {"fork", "[", "setsid", "ready=child", "]", "ready=main"})));
  const auto processes = roster.await_roles({"child", "main"});
  const std::string cgroup = cgroup_directory_of(processes.at("main").pid);
  fs::create_directories(cgroup + "/a/b/c");
  for (int i = 0; i < 300; ++i) fs::create_directory(cgroup + "/a/b/" + std::to_string(i));  // more than one go removes
  EXPECT_TRUE(enter_cgroup(cgroup + "/a/b/c", processes.at("child").pid));
  reapctl.send(SIGTERM);
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.report["containment"]["cgroup"]["path"], cgroup);
  EXPECT_TRUE(outcome.report["warnings"].empty()) << outcome.report["warnings"];
}

TEST(Contain, WhoIsInTheCgroupIsStoppedWhoeverStartedIt) {
  REQUIRE_CGROUP();
  Roster roster;
  const Outsider outsider;
  Launch launch = run_of({"--contain", "cgroup", "--ladder", "TERM:60s,KILL"}, misbehave(roster, {"ready=main"}));
  launch.leaves_processes = true;  // the outsider is ours
  Reapctl reapctl(std::move(launch));
  const Process main = roster.next();
  const std::string cgroup = cgroup_directory_of(main.pid);
  ASSERT_TRUE(enter_cgroup(cgroup, outsider.pid()));
  reapctl.send(SIGTERM);
  EXPECT_TRUE(await_end(outsider.pid()));
  ASSERT_TRUE(await_end(reapctl.pid()));
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.report["stop"]["rungs"].size(), 1U) << outcome.report["stop"];
  EXPECT_EQ(outcome.report["stop"]["rungs"][0]["told"], 2);
  EXPECT_FALSE(fs::exists(cgroup));
}

TEST(Contain, ARunIsNotOverWhileSomebodyIsInItsCgroup) {
  REQUIRE_CGROUP();
  Roster roster;
  Gate gate;
  const Outsider outsider;
  Launch launch = run_of({"--contain", "cgroup", "--leftovers", "wait"},
                         misbehave(roster, {"ready=main", "await=" + gate.path(), "exit=0"}));
  launch.leaves_processes = true;  // the outsider is ours
  Reapctl reapctl(std::move(launch));
  const Process main = roster.next();
  const std::string cgroup = cgroup_directory_of(main.pid);
  ASSERT_TRUE(enter_cgroup(cgroup, outsider.pid()));
  gate.open();
  ASSERT_TRUE(await_end(main.pid));
  EXPECT_TRUE(fs::exists(cgroup));
  send_signal(outsider.pid(), SIGTERM);
  ASSERT_TRUE(await_end(reapctl.pid()));
  EXPECT_EQ(reapctl.wait().code(), 0);
  EXPECT_FALSE(fs::exists(cgroup));
}

TEST(Contain, WhoHasLeftTheCgroupIsStillFoundByDescent) {
  REQUIRE_CGROUP();
  Roster roster;
  Reapctl reapctl(run_of({"--contain", "cgroup", "--ladder", "KILL"},
                         misbehave(roster, {"fork", "[", "setsid", "env-clear", "ready=child", "]", "ready=main"})));
  const auto processes = roster.await_roles({"child", "main"});
  const TestCgroup elsewhere;
  ASSERT_TRUE(enter_cgroup(elsewhere.path(), processes.at("child").pid));
  reapctl.send(SIGTERM);
  const Outcome outcome = reapctl.wait();
  EXPECT_FALSE(is_alive(processes.at("child")));
  EXPECT_EQ(outcome.report["tree"]["survivors"].size(), 0U);
}

TEST(Contain, AFrozenProcessHearsTheGracefulSignal) {
  REQUIRE_CGROUP();
  Roster roster;
  Reapctl reapctl(run_of({"--contain", "cgroup", "--ladder", "TERM:60s,KILL"},
                         misbehave(roster, {"on=TERM:say=heard", "on=TERM:exit=3", "ready=main"})));
  const Process main = roster.next();
  const std::string inner = cgroup_directory_of(main.pid) + "/inner";
  fs::create_directory(inner);
  ASSERT_TRUE(enter_cgroup(inner, main.pid));
  write_file(inner + "/cgroup.freeze", "1");
  ASSERT_TRUE(await([&] { return read_file(inner + "/cgroup.events").find("frozen 1") != std::string::npos; }));
  reapctl.send(SIGTERM);
  EXPECT_EQ(roster.next().role, "heard");
  EXPECT_EQ(reapctl.wait().code(), 3);
}

TEST(Contain, ReapctlIsNotKilledByItsOwnKillOfTheCgroup) {
  REQUIRE_CGROUP();
  Roster roster;
  Reapctl reapctl(run_of({"--contain", "cgroup", "--ladder", "KILL"}, misbehave(roster, {"ready=main"})));
  const Process main = roster.next();
  const std::string cgroup = cgroup_directory_of(main.pid);
  for (const pid_t pid : {supervisor_of(main), front_of(main)}) ASSERT_TRUE(enter_cgroup(cgroup, pid));
  reapctl.send(SIGTERM);
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.report["result"], "stopped");
  EXPECT_TRUE(outcome.report["warnings"].empty()) << outcome.report["warnings"];
}

TEST(Contain, WhoeverOfTheTwoIsLeftRemovesTheCgroup) {
  REQUIRE_CGROUP();
  for (const bool guard_dies : {false, true}) {
    SCOPED_TRACE(guard_dies ? "guard" : "supervisor");
    Roster roster;
    TempDir directory;
    Launch launch = run_of({"--contain", "cgroup", "--ladder", "KILL"},
                           misbehave(roster, {"fork", "[", "setsid", "ready=child", "]", "ready=main"}));
    launch.with_report = false;
    launch.args.insert(launch.args.begin() + 1, {"--report", directory / "report"});
    launch.leaves_processes = true;
    Reapctl reapctl(std::move(launch));
    const auto processes = roster.await_roles({"child", "main"});
    const Process& main = processes.at("main");
    const std::string cgroup = cgroup_directory_of(main.pid);
    const pid_t supervisor = supervisor_of(main);
    send_signal(guard_dies ? front_of(main) : supervisor, SIGKILL);
    ASSERT_TRUE(await_end(guard_dies ? supervisor : reapctl.pid()));
    const auto report = nlohmann::json::parse(read_file(directory / "report"), nullptr, false);
    EXPECT_EQ(report["result"], guard_dies ? "guard-died" : "supervisor-died");
    EXPECT_EQ(report["containment"]["cgroup"]["path"], cgroup);
    EXPECT_FALSE(fs::exists(cgroup));
    for (const auto& [role, process] : processes) EXPECT_FALSE(is_alive(process)) << role;
    (void)reapctl.wait();
    (void)kill_leftovers({});
  }
}

TEST(Contain, ChainsThatForkAndExitForEverEndAtOneBlow) {
  REQUIRE_CGROUP();
  if (const std::string obstacle = storm_obstacle(); !obstacle.empty()) GTEST_SKIP() << obstacle;
  Roster roster;
  Launch launch =
      run_of({"--contain", "cgroup", "--ladder", "INT:50ms,KILL"}, misbehave(roster, {"chain=64", "ready=main"}));
  launch.wrapper = pid_namespace();
  launch.wrapper.insert(launch.wrapper.end(), {"sh", "-c", R"("$0" "$@"; code=$?; set -- /proc/[0-9]*; echo left $#
                                                              exit $code)"});
  Reapctl reapctl(std::move(launch));
  (void)roster.next();
  const std::vector<pid_t> shell = children_of(reapctl.pid());
  ASSERT_EQ(shell.size(), 1U);
  const std::vector<pid_t> inside = children_of(shell[0]);
  ASSERT_EQ(inside.size(), 1U);
  send_signal(inside[0], SIGTERM);
  const Outcome outcome = reapctl.wait(std::chrono::seconds(60));
  EXPECT_THAT(outcome.out, HasSubstr("left 1\n"));
  EXPECT_TRUE(outcome.report["tree"]["survivors"].empty());
  const auto& rungs = outcome.report["stop"]["rungs"];
  ASSERT_GE(rungs.size(), 1U);
  RecordProperty("ms_after_last_rung",
                 outcome.report["stop"]["duration_ms"].get<int>() - rungs.back()["at_ms"].get<int>());
}

TEST(Doctor, TellsWhatARunThenDoes) {
  const Outcome outcome = run({.args = {"doctor", "--json"}});
  ASSERT_EQ(outcome.code(), 0) << outcome.err;
  const std::string line = outcome.out.substr(0, outcome.out.find('\n'));
  keep_json("doctor", line);
  const auto doctor = nlohmann::json::parse(line, nullptr, false);
  const Outcome then = run(run_of({}, {"true"}));
  EXPECT_EQ(doctor["auto"]["mode"], then.report["containment"]["mode"]);
  EXPECT_EQ(doctor["cgroup"]["works"], doctor["auto"]["mode"] == "cgroup");
  EXPECT_TRUE(doctor["registry"]["usable"]) << line;
  EXPECT_TRUE(doctor["warnings"].empty()) << line;
  const std::string text = run({.args = {"doctor"}}).out;
  EXPECT_THAT(text, HasSubstr("auto picks  " + doctor["auto"]["mode"].get<std::string>()));
  EXPECT_THAT(text, HasSubstr("pidfd_open"));
  EXPECT_EQ(run({.args = {"doctor", "--format", "xml"}}).code(), 125);
}

TEST_F(AsNobody, TheDoctorSaysWhatWouldMakeItWork) {
  const Outcome outcome = run({.args = {"doctor", "--json"},
                               .wrapper = {"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"},
                               .env = {{"REAPCTL_REGISTRY", directory_ / "registry"}},
                               .cwd = "/"});
  const auto doctor = nlohmann::json::parse(outcome.out.substr(0, outcome.out.find('\n')), nullptr, false);
  EXPECT_EQ(doctor["auto"]["mode"], "subreaper");
  EXPECT_FALSE(doctor["cgroup"]["works"]);
  EXPECT_FALSE(doctor["cgroup"]["problem"].is_null());
  EXPECT_FALSE(doctor["cgroup"]["remedy"].is_null());
  EXPECT_TRUE(doctor["registry"]["usable"]) << outcome.out;
}

}  // namespace
}  // namespace reapctl::test
