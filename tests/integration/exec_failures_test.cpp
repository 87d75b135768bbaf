#include "support/reapctl.hpp"

#include <fcntl.h>
#include <filesystem>
#include <string>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

/// Fact 6: a command that could not be started is told from one that exited with 127, with stage and errno.
namespace reapctl::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

void expect_not_started(const Outcome& outcome, int code, const std::string& errno_name) {
  EXPECT_EQ(outcome.code(), code);
  EXPECT_EQ(outcome.report["exit_code"], code);
  EXPECT_EQ(outcome.report["result"], "not-started");
  EXPECT_EQ(outcome.report["exit"]["kind"], "not-started");
  EXPECT_EQ(outcome.report["exit"]["stage"], "exec");
  EXPECT_EQ(outcome.report["exit"]["errno_name"], errno_name);
  EXPECT_TRUE(outcome.report["exit"]["code"].is_null());
}

struct Unstartable {
  const char* name;
  Args command;
  int code;
  const char* errno_name;
};

class Fact06 : public testing::TestWithParam<Unstartable> {};

TEST_P(Fact06, TellsExecFailedFromExited) {
  TempDir directory;
  fs::create_directory(directory / "base");
  const Outcome outcome = run(run_of({"--workdir-base", directory / "base"}, GetParam().command));
  expect_not_started(outcome, GetParam().code, GetParam().errno_name);
  EXPECT_THAT(outcome.err, HasSubstr(GetParam().command[0])) << "the message names the command";
  EXPECT_TRUE(fs::is_empty(directory / "base"));
}

INSTANTIATE_TEST_SUITE_P(Command, Fact06,
                         testing::Values(Unstartable{"Empty", {""}, 127, "ENOENT"},
                                         Unstartable{"Directory", {"/etc"}, 126, "EACCES"},
                                         Unstartable{"NotInPath", {"nonexistent"}, 127, "ENOENT"},
                                         Unstartable{"NotAtPath", {"/nonexistent/command"}, 127, "ENOENT"},
                                         Unstartable{"BelowAFile", {"/etc/passwd/x"}, 126, "ENOTDIR"},
                                         Unstartable{"NotExecutable", {"/etc/passwd"}, 126, "EACCES"}),
                         [](const auto& test) { return test.param.name; });

TEST(Fact06, Exited127IsNoFailureToStart) {
  const Outcome outcome = run(run_of({}, sh("exit 127")));
  EXPECT_EQ(outcome.code(), 127);
  EXPECT_EQ(outcome.report["result"], "exit-code");
  EXPECT_EQ(outcome.report["exit"]["kind"], "exited");
}

TEST(Fact06, AScriptWithoutInterpreterLineRunsAsInAShell) {
  TempDir directory;
  write_script(directory / "script", "exit 7\n");
  EXPECT_EQ(run(run_of({}, {directory / "script"})).code(), 7);
}

TEST(Fact06, AScriptWithAMissingInterpreterIsNotFound) {
  TempDir directory;
  write_script(directory / "script", "#!/nonexistent/interpreter\n");
  expect_not_started(run(run_of({}, {directory / "script"})), 127, "ENOENT");
}

TEST(Fact06, ACommandOpenForWritingIsBusy) {
  TempDir directory;
  fs::copy_file(misbehave_path(), directory / "copy");
  const int writer = ::open((directory / "copy").c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_GE(writer, 0);
  expect_not_started(run(run_of({}, {directory / "copy"})), 126, "ETXTBSY");
  ::close(writer);
}

/// A run whose argument list is `fill` bytes longer, in strings below MAX_ARG_STRLEN (execve(2)).
Outcome run_with(std::size_t fill) {
  constexpr std::size_t kString = 100'000;
  Args args{"run", "--", "true"};
  for (; fill > kString; fill -= kString) args.emplace_back(kString, 'x');
  args.emplace_back(fill, 'x');
  return run({.args = args});
}

TEST(Fact06, AnArgumentListThatFitsReapctlButNotItsCommandIsTooBig) {
  // The command gets more environment than reapctl had: the longest list that reapctl itself can be started with is too
  // long for the command. The harness exits with 97 when it cannot start reapctl.
  std::size_t fits = 0;
  std::size_t too_big = 8'000'000;
  ASSERT_EQ(run_with(too_big).code(), 97);
  while (too_big - fits > 8) {
    const std::size_t middle = fits + (too_big - fits) / 2;
    (run_with(middle).code() == 97 ? too_big : fits) = middle;
  }
  const Outcome outcome = run_with(fits);
  EXPECT_EQ(outcome.code(), 126);
  EXPECT_THAT(outcome.err, HasSubstr("\"errno_name\":\"E2BIG\""));
}

TEST(Fact06, TheCommandIsLookedUpInTheCallersPath) {
  TempDir directory;
  write_script(directory / "only-here", "#!/bin/sh\nexit 8\n");
  Launch launch = run_of({}, {"only-here"});
  launch.env["PATH"] = directory.path().string() + ":/usr/bin:/bin";
  const Outcome outcome = run(std::move(launch));
  EXPECT_EQ(outcome.code(), 8);
  EXPECT_EQ(outcome.report["command"]["executable"], directory / "only-here");
  EXPECT_EQ(outcome.report["name"], "only-here");
}

TEST(Fact06, ARelativePathMeansTheCallersDirectory) {
  TempDir directory;
  write_script(directory / "here", "#!/bin/sh\nexit 8\n");
  Launch launch = run_of({"--workdir-use", "tmp"}, {"./here"});
  launch.cwd = directory.path();
  EXPECT_EQ(run(std::move(launch)).code(), 8);
}

}  // namespace
}  // namespace reapctl::test
