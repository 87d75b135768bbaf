#include "support/reapctl.hpp"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

/// The command's argv passes through byte for byte; the first word that is not an option begins it.
namespace reapctl::test {
namespace {

using testing::HasSubstr;

/// What show-argv prints for these arguments.
std::string shown(const Args& arguments) {
  std::string text;
  for (const std::string& argument : arguments) text.append(argument).push_back('\0');
  return text;
}

const Args kOdd = {"[a,b]",  "[",          "]", "-n",    "--",           "",   "-",  "--report", "--help", "-x=1",
                   "a b\nc", "\"quoted\"", "'", "$HOME", "\xff\xfe\x80", "%s", "\\", "é",        "{}",     "#"};

TEST(Argv, ArrivesUnchangedBehindDoubleDash) {
  Args command = misbehave({"show-argv"});
  command.insert(command.end(), kOdd.begin(), kOdd.end());
  const Outcome outcome = run(run_of({}, command));
  EXPECT_EQ(outcome.code(), 0);
  EXPECT_EQ(outcome.out, shown(kOdd));
}

TEST(Argv, ArrivesUnchangedWithoutDoubleDash) {
  Args args{"run", "--report", "none", misbehave_path(), "show-argv"};
  args.insert(args.end(), kOdd.begin(), kOdd.end());
  EXPECT_EQ(run({.args = args}).out, shown(kOdd));
}

class EachArgument : public testing::TestWithParam<std::string> {};

TEST_P(EachArgument, ArrivesAloneAndLast) {
  const Outcome outcome = run(run_of({}, misbehave({"show-argv", GetParam()})));
  EXPECT_EQ(outcome.out, shown({GetParam()}));
}

INSTANTIATE_TEST_SUITE_P(Argv, EachArgument, testing::ValuesIn(kOdd));

TEST(Argv, EchoMinusNNeedsNoDoubleDash) {
  EXPECT_EQ(run({.args = {"run", "--report", "none", "echo", "-n", "x"}}).out, "x");
}

TEST(Argv, OptionsBehindTheCommandAreTheCommands) {
  const Outcome outcome =
      run({.args = {"run", "--report=none", misbehave_path(), "show-argv", "--timeout", "1ms", "--", "-t", "x"}});
  EXPECT_EQ(outcome.code(), 0);
  EXPECT_EQ(outcome.out, shown({"--timeout", "1ms", "--", "-t", "x"}));
}

TEST(Argv, OnlyTheFirstDoubleDashIsReapctls) {
  const Outcome outcome = run({.args = {"run", "--report", "none", "--", "--", "x"}});
  EXPECT_EQ(outcome.code(), 127) << "the command is called --";
}

TEST(Argv, ACommandMayBeginWithADashBehindDoubleDash) {
  EXPECT_EQ(run({.args = {"run", "--report", "none", "--", "-no-such-command"}}).code(), 127);
}

class OptionForm : public testing::TestWithParam<Args> {};

TEST_P(OptionForm, EndsWhereTheCommandBegins) {
  Args args{"run", "--report", "none"};
  args.insert(args.end(), GetParam().begin(), GetParam().end());
  args.insert(args.end(), {misbehave_path(), "show-argv", "x"});
  const Outcome outcome = run({.args = args});
  EXPECT_EQ(outcome.code(), 0) << outcome.err;
  EXPECT_EQ(outcome.out, shown({"x"}));
}

INSTANTIATE_TEST_SUITE_P(Argv, OptionForm,
                         testing::Values(Args{"-t", "60"}, Args{"-t60"}, Args{"--timeout", "60"}, Args{"--timeout=60"},
                                         Args{"-s", "INT", "-k", "1s"}, Args{"-sINT", "-k1s"}, Args{"--no-workdir"},
                                         Args{"--close-fds"}, Args{"--close-fds=except:2"},
                                         Args{"--no-new-privs", "--name", "n"}, Args{"--name=[a,b]"},
                                         Args{"--workdir-use", "cwd,tmp"}, Args{"--map", "HUP:USR1"}));

TEST(Argv, ReportShowsItAsItWas) {
  const Outcome outcome = run(run_of({}, misbehave({"show-argv", "[a,b]", "", "-n"})));
  EXPECT_EQ(outcome.report["command"]["argv"], nlohmann::json({misbehave_path(), "show-argv", "[a,b]", "", "-n"}));
  EXPECT_EQ(outcome.report["command"]["executable"], misbehave_path());
}

TEST(Argv, WhatIsNotUtf8DoesNotAbortTheReport) {
  const Outcome outcome = run(run_of({}, misbehave({"show-argv", "a\xff\xfe"})));
  EXPECT_EQ(outcome.code(), 0);
  EXPECT_EQ(outcome.report["command"]["argv"][2], "a\uFFFD\uFFFD");
}

TEST(Argv, AnUnknownCommandOfReapctlSuggestsRun) {
  const Outcome outcome = run({.args = {"nginx", "-g", "daemon off;"}});
  EXPECT_EQ(outcome.code(), 125);
  EXPECT_THAT(outcome.err, HasSubstr("reapctl run -- nginx"));
}

}  // namespace
}  // namespace reapctl::test
