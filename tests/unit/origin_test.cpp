#include "proc/origin.hpp"

#include "support/fake_proc.hpp"

#include <map>
#include <vector>

#include <gmock/gmock.h>

namespace reapctl::proc {
namespace {

using testing::FakeProc;
using testing::stat_line;
using namespace std::string_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

EnvironmentLookup environment(const std::map<std::string, std::string>& variables) {
  return [variables](const char* name) {
    const auto found = variables.find(name);
    return found != variables.end() ? found->second.c_str() : nullptr;
  };
}

TEST(Origin, SaysWhoStartedThis) {
  const FakeProc fake{
      {"12/stat", stat_line({.pid = 12, .ppid = 9})},  // tty_nr 34816
      {"12/cgroup", "0::/system.slice/cron.service\n"},
      {"9/comm", "cron\n"},
      {"9/cmdline", "/usr/sbin/cron\0-f\0"s},
      {"passwd", "root:x:0:0:root:/root:/bin/sh\nci:x:1000:1000::/home/ci:/bin/sh\n"},
  };
  const core::Origin origin = read_origin(
      ProcFs(fake.root()),
      {.self = 12, .parent = 9, .uid = 1000, .passwd_path = fake.root() + "/passwd", .environment = environment({})});
  EXPECT_EQ(origin.ppid, 9);
  EXPECT_EQ(origin.comm, "cron");
  EXPECT_THAT(origin.argv, ElementsAre("/usr/sbin/cron", "-f"));
  EXPECT_EQ(origin.user, "ci");
  EXPECT_EQ(origin.tty, "pts/0");
  EXPECT_EQ(origin.unit, "cron.service");
  EXPECT_EQ(origin.ci, "");
}

TEST(Origin, StaysEmptyWhereNothingCanBeFoundOut) {
  const core::Origin origin = read_origin(
      ProcFs("/nonexistent"),
      {.self = 12, .parent = 0, .uid = 4242, .passwd_path = "/nonexistent", .environment = environment({{"CI", "1"}})});
  EXPECT_EQ(origin.ppid, 0);
  EXPECT_EQ(origin.comm, "");
  EXPECT_THAT(origin.argv, IsEmpty());
  EXPECT_EQ(origin.user, "4242");
  EXPECT_EQ(origin.tty, "");
  EXPECT_EQ(origin.unit, "");
  EXPECT_EQ(origin.ci, "ci");
}

TEST(Origin, UserNameIsTheFirstWithTheNumber) {
  const FakeProc fake{{"passwd", "# users\nbroken line\na:x:7:7::/:/bin/sh\nb:x:7:7::/:/bin/sh\nlong:x:8:8:" +
                                     std::string(5000, 'x') + ":/:/bin/sh\n"}};
  EXPECT_EQ(sys::user_name(7, fake.root() + "/passwd"), "a");
  EXPECT_EQ(sys::user_name(8, fake.root() + "/passwd"), "long");
  EXPECT_EQ(sys::user_name(9, fake.root() + "/passwd"), "9");
}

TEST(Origin, TerminalNames) {
  const std::vector<std::pair<int, std::string>> cases{
      {0, ""},
      {(136 << 8) | 3, "pts/3"},
      {(136 << 8) | 0xff | (1 << 20), "pts/511"},
      {(137 << 8) | 1, "pts/257"},
      {(4 << 8) | 1, "tty1"},
      {(4 << 8) | 64, "ttyS0"},
      {(5 << 8) | 1, "console"},
      {188 << 8, "188:0"},
  };
  for (const auto& [number, name] : cases) EXPECT_EQ(tty_name(number), name) << number;
}

TEST(Origin, SystemdUnits) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"0::/system.slice/cron.service\n", "cron.service"},
      {"0::/system.slice/docker.service/payload\n", "docker.service"},
      {"0::/user.slice/user-1000.slice/session-3.scope\n", "session-3.scope"},
      {"0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-u7.scope", "run-u7.scope"},
      {"0::/user.slice/user-1000.slice\n", "user-1000.slice"},
      {"0::/a.service/b.slice\n", "a.service"},
      {"12:cpu:/x.service\n1:name=systemd:/system.slice/jenkins.service\n0::/other.service\n", "jenkins.service"},
      {"12:cpu,cpuacct:/x.service\n0::/system.slice/a:b.service\n", "a:b.service"},
      {"3:name=systemd:/\n0::/\n", ""},
      {"0::/\n", ""},
      {"0::/docker/0123456789abcdef\n", ""},
      {"no colons\n0:\n\n", ""},
      {"", ""},
  };
  for (const auto& [text, unit] : cases) EXPECT_EQ(systemd_unit(text), unit) << text;
}

TEST(Origin, CiJobs) {
  const std::vector<std::pair<std::map<std::string, std::string>, std::string>> cases{
      {{}, ""},
      {{{"CI", "true"}}, "ci"},
      {{{"CI", "false"}}, ""},
      {{{"CI", ""}}, ""},
      {{{"CI", "true"},
        {"GITHUB_ACTIONS", "true"},
        {"GITHUB_REPOSITORY", "owner/repo"},
        {"GITHUB_RUN_ID", "12"},
        {"GITHUB_JOB", "build"}},
       "github-actions owner/repo run 12 job build"},
      {{{"GITHUB_ACTIONS", "true"}, {"GITHUB_JOB", "build"}}, "github-actions job build"},
      {{{"GITLAB_CI", "true"}, {"CI_PROJECT_PATH", "g/p"}, {"CI_PIPELINE_ID", "5"}, {"CI_JOB_NAME", "unit tests"}},
       "gitlab-ci g/p pipeline 5 job unit tests"},
      {{{"JENKINS_URL", "https://j/"}, {"JOB_NAME", "nightly"}, {"BUILD_NUMBER", "88"}}, "jenkins nightly build 88"},
      {{{"BUILDKITE", "true"},
        {"BUILDKITE_PIPELINE_SLUG", "p"},
        {"BUILDKITE_BUILD_NUMBER", "3"},
        {"BUILDKITE_JOB_ID", "j"}},
       "buildkite p build 3 job j"},
      {{{"CIRCLECI", "true"}, {"CIRCLE_PROJECT_REPONAME", "r"}, {"CIRCLE_BUILD_NUM", "4"}, {"CIRCLE_JOB", "t"}},
       "circleci r build 4 job t"},
      {{{"TRAVIS", "true"}, {"TRAVIS_REPO_SLUG", "o/r"}, {"TRAVIS_BUILD_NUMBER", "6"}, {"TRAVIS_JOB_NUMBER", "6.1"}},
       "travis-ci o/r build 6 job 6.1"},
      {{{"TF_BUILD", "True"}, {"BUILD_REPOSITORY_NAME", "r"}, {"BUILD_BUILDNUMBER", "20.1"}, {"AGENT_JOBNAME", "Job"}},
       "azure-pipelines r build 20.1 job Job"},
  };
  for (const auto& [variables, job] : cases) EXPECT_EQ(ci_job(environment(variables)), job);
}

}  // namespace
}  // namespace reapctl::proc
