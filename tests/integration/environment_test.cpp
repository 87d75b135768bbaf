#include "support/reapctl.hpp"
#include "support/tool.hpp"

#include <filesystem>
#include <set>
#include <sstream>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

/// The command's environment and that of reapctl.
namespace reapctl::test {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

/// The command's environment, an entry each.
std::set<std::string> environment(const Outcome& outcome) {
  std::set<std::string> entries;
  std::istringstream text(outcome.out);
  for (std::string entry; std::getline(text, entry, '\0');) entries.insert(entry);
  return entries;
}

TEST(Environment, NamesTheRun) {
  TempDir directory;
  const Outcome outcome = run(run_of({"--name", "nightly", "--workdir-base", directory.path()}, {"env", "-0"}));
  const std::set<std::string> entries = environment(outcome);
  const std::string id = outcome.report["run_id"];
  EXPECT_THAT(entries, Contains("REAPCTL_RUN_ID=" + id));
  EXPECT_THAT(entries, Contains("REAPCTL_NAME=nightly"));
  EXPECT_THAT(entries, Contains("REAPCTL_WORKDIR=" + outcome.report["workdir"]["path"].get<std::string>()));
  EXPECT_THAT(entries, Contains("REAPCTL_COOKIE_" + id + "=1"));
  EXPECT_EQ(outcome.report["name"], "nightly");
}

TEST(Environment, TheRegistryIsPassedOnIfGiven) {
  Launch without = run_of({}, {"env", "-0"});
  without.unset_env = {"REAPCTL_REGISTRY"};
  EXPECT_THAT(environment(run(std::move(without))), Not(Contains(StartsWith("REAPCTL_REGISTRY="))));
  TempDir directory;
  Launch with = run_of({}, {"env", "-0"});
  with.env["REAPCTL_REGISTRY"] = directory / "registry";
  EXPECT_THAT(environment(run(std::move(with))), Contains("REAPCTL_REGISTRY=" + directory / "registry"));
}

TEST(Environment, ARegistryThatWasGivenIsPassedOnWithItsWholePath) {
  TempDir directory;
  Launch launch = run_of({"--registry", "here"}, {"env", "-0"});
  launch.cwd = directory.path();
  EXPECT_THAT(environment(run(std::move(launch))), Contains("REAPCTL_REGISTRY=" + (directory / "here")));
}

TEST(Environment, TheNameIsTheCommandsBasenameByDefault) {
  const Outcome outcome = run(run_of({}, {"/usr/bin/env", "-0"}));
  EXPECT_THAT(environment(outcome), Contains("REAPCTL_NAME=env"));
  EXPECT_EQ(outcome.report["name"], "env");
}

TEST(Environment, IsPassedOnOtherwise) {
  Launch launch = run_of({}, {"env", "-0"});
  launch.env = {{"EMPTY", ""}, {"ODD", "a=b\nc\xff"}};
  const std::set<std::string> entries = environment(run(std::move(launch)));
  EXPECT_THAT(entries, Contains("EMPTY="));
  EXPECT_THAT(entries, Contains("ODD=a=b\nc\xff"));
}

TEST(Environment, TheInnerRunKeepsTheOutersCookie) {
  const Outcome outcome = run(run_of({}, {reapctl_path(), "run", "--report", "none", "--", "env", "-0"}));
  const std::set<std::string> entries = environment(outcome);
  const std::string outer = outcome.report["run_id"];
  EXPECT_THAT(entries, Contains("REAPCTL_COOKIE_" + outer + "=1"));
  EXPECT_THAT(entries, Not(Contains("REAPCTL_RUN_ID=" + outer)));
  EXPECT_EQ(std::count_if(entries.begin(), entries.end(),
                          [](const std::string& entry) { return entry.rfind("REAPCTL_COOKIE_", 0) == 0; }),
            2);
}

TEST(Environment, OptionsThatTuneAreReadAndRemoved) {
  Launch launch = run_of({}, {"env", "-0"});
  launch.env = {{"REAPCTL_OPT_LADDER", "INT:1s,KILL"}, {"REAPCTL_OPT_STOP_TIMEOUT", "5s"},
                {"REAPCTL_OPT_TIMEOUT", "30s"},        {"REAPCTL_OPT_REPORT_FORMAT", "json"},
                {"REAPCTL_OPT_WORKDIR_BASE", "/tmp"},  {"REAPCTL_OPT_COLOR", "never"}};
  const Outcome outcome = run(std::move(launch));
  EXPECT_EQ(outcome.code(), 0) << outcome.err;
  EXPECT_THAT(environment(outcome), Not(Contains(StartsWith("REAPCTL_OPT_"))));
  EXPECT_THAT(outcome.report["workdir"]["path"].get<std::string>(), StartsWith("/tmp/reapctl-"));
}

TEST(Environment, TheTimeoutCanComeFromThere) {
  Launch launch = run_of({}, {"sleep", "60"});
  launch.env["REAPCTL_OPT_TIMEOUT"] = "50ms";
  EXPECT_EQ(run(std::move(launch)).code(), 124);
}

TEST(Environment, TheCommandLineWins) {
  Launch launch = run_of({"--timeout", "50ms"}, {"sleep", "60"});
  launch.env["REAPCTL_OPT_TIMEOUT"] = "1h";
  EXPECT_EQ(run(std::move(launch)).code(), 124);
}

TEST(Environment, NonsenseInItIsAUsageErrorThatNamesTheVariable) {
  const Outcome outcome = run({.args = {"run", "--", "true"}, .env = {{"REAPCTL_OPT_TIMEOUT", "soon"}}});
  EXPECT_EQ(outcome.code(), 125);
  EXPECT_THAT(outcome.err, HasSubstr("REAPCTL_OPT_TIMEOUT"));
  EXPECT_THAT(outcome.err, HasSubstr("soon"));
}

TEST(Environment, NamesAndRemovalsDoNotComeFromThere) {
  TempDir directory;
  write_file(directory / "file", "x");
  Launch launch = run_of({}, {"true"});
  launch.env = {{"REAPCTL_OPT_NAME", "other"}, {"REAPCTL_OPT_REMOVE", directory / "file"}};
  const Outcome outcome = run(std::move(launch));
  EXPECT_TRUE(fs::exists(directory / "file"));
  EXPECT_NE(outcome.report["name"], "other");
}

TEST(Environment, UnderAtSecureNothingRuns) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to make a set-uid program";
  TempDir directory;
  fs::permissions(directory.path(), fs::perms::owner_all | fs::perms::others_exec);
  const std::string copy = directory / "reapctl";
  fs::copy_file(reapctl_path(), copy);
  ASSERT_EQ(::chmod(copy.c_str(), 04755), 0);
  const Args as_nobody{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"};
  Args probe = as_nobody;
  probe.insert(probe.end(), {copy, "run", "--report", "none", "--", "true"});
  EXPECT_EQ(quiet_status(probe), 125);
}

}  // namespace
}  // namespace reapctl::test
