#include "support/namespace.hpp"
#include "support/reapctl.hpp"

#include <string>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

/// In a root with nothing but the binary: no /proc, no registry, no /tmp. Or with a /proc that speaks of other
/// processes, whose pids must not be believed.
namespace reapctl::test {
namespace {

using testing::HasSubstr;

/// PID 1 of a PID namespace is a shell that sees to /proc, has reapctl run, and says whether somebody is left.
Args in_namespace(const std::string& set_up) {
  Args wrapper{"unshare", "--mount", "--pid", "--fork", "--kill-child"};
  if (::geteuid() != 0) wrapper.insert(wrapper.begin() + 1, {"--user", "--map-root-user"});
  for (const char* word : {"sh", "-c"}) wrapper.emplace_back(word);
  wrapper.push_back(set_up +
                    R"( "$0" "$@"; status=$?; kill -0 -1 2>/dev/null && echo "somebody is left"; exit $status)");
  return wrapper;
}

class WithoutProc : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override { REQUIRE_PID_NAMESPACE(); }

  static Outcome run_inside(Args options, Args command) {
    Launch launch = run_of(std::move(options), std::move(command));
    launch.env = {{"TMPDIR", "/nonexistent"}, {"REAPCTL_REGISTRY", "/nonexistent/registry"}};
    launch.wrapper = in_namespace(GetParam());
    return run(std::move(launch));
  }
};

INSTANTIATE_TEST_SUITE_P(Proc, WithoutProc, testing::Values("mount -t tmpfs none /proc;", ":;"), [](const auto& param) {
  return param.index == 0 ? std::string("Missing") : std::string("OfTheOuterNamespace");
});

/// A child in a session of its own, a daemon, and a child that ignores what can be ignored.
constexpr char kStragglers[] =
    "setsid sleep 1000 & (setsid sleep 1000 &) ; (trap '' INT TERM; exec sleep 1000) & (sh -c 'sleep 1000 & exec sleep "
    "1000' &)\n";

TEST_P(WithoutProc, StopsWhatTheCommandLeft) {
  const Outcome outcome = run_inside({"--ladder", "TERM:300ms,KILL"}, sh(std::string(kStragglers) + "exit 5"));
  EXPECT_EQ(outcome.code(), 5) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.report["warnings"].dump(), HasSubstr("/proc is missing or belongs to another PID namespace"));
  EXPECT_THAT(outcome.report["warnings"].dump(), HasSubstr("no private working directory"));
  EXPECT_EQ(outcome.report["containment"]["why"], "auto: no cgroup, cannot find one without /proc");
  EXPECT_EQ(outcome.report["stop"]["cause"], "leftovers");
  EXPECT_GE(outcome.report["tree"]["leftovers"].size(), 4U);
  EXPECT_TRUE(outcome.report["tree"]["survivors"].empty());
}

TEST_P(WithoutProc, StopsEverythingAtTheTimeout) {
  const Outcome outcome = run_inside({"-t", "300ms", "--ladder", "TERM:300ms,KILL"},
                                     sh(std::string(kStragglers) + "trap '' TERM; sleep 1000; sleep 1000"));
  EXPECT_EQ(outcome.code(), 124) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_GE(outcome.report["stop"]["rungs"][0]["told"], 1);
}

/// What is started is in another PID namespace, but /proc is that of reapctl and knows everybody: unshare without
/// --fork.
TEST(ChildrenElsewhere, TheCommandIsTheFirstThere) {
  REQUIRE_PID_NAMESPACE();
  const TempDir directory;
  for (const bool guard : {true, false}) {
    Args options{"--ladder", "TERM:100ms,KILL"};
    if (!guard) options.emplace_back("--no-guard");
    Launch launch = run_of(std::move(options),
                           sh("echo $$; sleep 1000 & cat \"$REAPCTL_REGISTRY/$REAPCTL_RUN_ID/record.json\"; exit 7"));
    launch.env = {{"REAPCTL_REGISTRY", directory / "registry"}};
    launch.wrapper = {"unshare", "--pid"};
    if (::geteuid() != 0) launch.wrapper.insert(launch.wrapper.end(), {"--user", "--map-root-user"});
    const Outcome outcome = run(std::move(launch));
    EXPECT_EQ(outcome.code(), 7) << outcome.err << outcome.report_text;
    ASSERT_TRUE(outcome.out.starts_with("1\n")) << outcome.out;
    const auto record = nlohmann::json::parse(outcome.out.substr(2), nullptr, false);
    EXPECT_EQ(record["main"]["pid"], outcome.report["main"]["pid"]) << outcome.out;
    EXPECT_EQ(record["main"]["pgid"], outcome.report["main"]["pid"]);
    EXPECT_EQ(outcome.report["containment"]["guard"], false);
    EXPECT_EQ(outcome.report["warnings"].dump().find("no guard") != std::string::npos, guard) << outcome.report_text;
  }
}

TEST(WithoutProcAndPids, FindsWhoeverGotHisPidBeforeTheNumbersBeganAgain) {
  if (const std::string obstacle = storm_obstacle(); !obstacle.empty()) GTEST_SKIP() << obstacle;
  const std::string count_on = "i=0; while [ $i -lt $n ]; do (:); i=$((i + 1)); done\n";
  Launch launch = run_of(
      {"--ladder", "TERM:300ms,KILL"},
      sh("n=380\n" + count_on + "setsid sleep 1000 &\necho $! >&2\nn=60\n" + count_on + "exec sh -c 'echo $$ >&2'"));
  launch.env = {{"TMPDIR", "/nonexistent"}, {"REAPCTL_REGISTRY", "/nonexistent/registry"}};
  launch.wrapper = in_namespace("echo 400 >/proc/sys/kernel/pid_max; mount -t tmpfs none /proc;");
  const Outcome outcome = run(std::move(launch));
  EXPECT_EQ(outcome.code(), 0) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  ASSERT_EQ(outcome.report["tree"]["leftovers"].size(), 1U) << outcome.report_text << outcome.err;
  EXPECT_GT(outcome.report["tree"]["leftovers"][0]["pid"], 370) << outcome.err;
}

}  // namespace
}  // namespace reapctl::test
