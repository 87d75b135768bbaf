#include "support/reapctl.hpp"

#include <algorithm>
#include <filesystem>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

/// Bad input: one clear line on stderr that names the option and the value and says what is allowed, exit 125, nothing
/// started.
namespace reapctl::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

struct Bad {
  const char* name;
  Args options;
  Args mentioned;  ///< what the line must contain
};

class BadInput : public testing::TestWithParam<Bad> {};

TEST_P(BadInput, IsOneLineExit125AndNothingStarted) {
  TempDir directory;
  Args args{"run"};
  args.insert(args.end(), GetParam().options.begin(), GetParam().options.end());
  args.insert(args.end(), {"--", "touch", directory / "started"});
  const Outcome outcome = run({.args = args, .env = {{"TMPDIR", directory.path()}}});
  EXPECT_EQ(outcome.code(), 125);
  EXPECT_TRUE(outcome.out.empty()) << outcome.out;
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  for (const std::string& text : GetParam().mentioned) EXPECT_THAT(outcome.err, HasSubstr(text));
  EXPECT_TRUE(fs::is_empty(directory.path())) << "nothing was started and no directory made";
}

const Bad kBad[] = {
    {"UnknownOption", {"--no-such-option"}, {"--no-such-option"}},
    {"UnknownShortOption", {"-Z"}, {"-Z"}},
    {"LadderWithTwoBounds", {"--ladder", "INT:5s:3"}, {"--ladder", "INT:5s:3"}},
    {"LadderOfNoSignal", {"--ladder", "FOO"}, {"--ladder", "FOO"}},
    {"LadderEmpty", {"--ladder", ""}, {"--ladder"}},
    {"LadderEmptyByEquals", {"--ladder="}, {"--ladder"}},
    {"LadderEmptyRung", {"--ladder", "INT:5s,,KILL"}, {"--ladder", "INT:5s,,KILL"}},
    {"LadderTrailingComma", {"--ladder", "INT:5s,"}, {"--ladder", "INT:5s,"}},
    {"LadderKillNotLast", {"--ladder", "KILL,TERM:5s"}, {"--ladder", "KILL"}},
    {"LadderKillWithBound", {"--ladder", "INT:5s,KILL:5s"}, {"--ladder", "KILL"}},
    {"LadderBadBound", {"--ladder", "INT:soon"}, {"--ladder", "soon"}},
    {"LadderOfWhatEndsNobody", {"--ladder", "CHLD:1s,KILL"}, {"--ladder", "CHLD"}},
    {"LadderAlternativeThatEndsNobody", {"--ladder", "INT/CONT"}, {"--ladder", "CONT"}},
    {"SignalThatEndsNobody", {"--signal", "STOP"}, {"--signal", "STOP"}},
    {"LadderHalfAlternative", {"--ladder", "INT/:5s"}, {"--ladder", "INT/"}},
    {"DurationWord", {"--timeout", "soon"}, {"--timeout", "soon"}},
    {"DurationEmpty", {"--timeout", ""}, {"--timeout"}},
    {"DurationNegative", {"--timeout", "-5s"}, {"--timeout", "-5s"}},
    {"DurationNegativeByEquals", {"--timeout=-5s"}, {"--timeout", "-5s"}},
    {"DurationUnit", {"--timeout", "5y"}, {"--timeout", "5y"}},
    {"DurationOverflow", {"--timeout", "99999999999999999999"}, {"--timeout", "99999999999999999999"}},
    {"DurationOverflowInUnit", {"--timeout", "9223372036854775807d"}, {"--timeout", "9223372036854775807d"}},
    {"DurationNan", {"--timeout", "nan"}, {"--timeout", "nan"}},
    {"DurationInf", {"--timeout", "inf"}, {"--timeout", "inf"}},
    {"DurationHex", {"--timeout", "0x10"}, {"--timeout", "0x10"}},
    {"DurationExponent", {"--timeout", "1e3"}, {"--timeout", "1e3"}},
    {"DurationSpace", {"--timeout", "5 s"}, {"--timeout", "5 s"}},
    {"DurationTrailing", {"--timeout", "5sx"}, {"--timeout", "5sx"}},
    {"DurationComma", {"--timeout", "1,5s"}, {"--timeout", "1,5s"}},
    {"KillAfter", {"-s", "INT", "-k", "x"}, {"--kill-after", "x"}},
    {"StopTimeout", {"--stop-timeout", "x"}, {"--stop-timeout", "x"}},
    {"SignalWord", {"--signal", "FOO"}, {"--signal", "FOO"}},
    {"SignalZero", {"--signal", "0"}, {"--signal", "0"}},
    {"SignalTooHigh", {"--signal", "65"}, {"--signal", "65"}},
    {"SignalRtmin", {"--signal", "RTMIN+31"}, {"--signal", "RTMIN+31"}},
    {"StopOn", {"--stop-on", "INT,FOO"}, {"--stop-on", "FOO"}},
    {"StopOnKill", {"--stop-on", "KILL"}, {"--stop-on", "KILL"}},
    {"StopOnNoneAndMore", {"--stop-on", "none,INT"}, {"--stop-on", "none"}},
    {"MapNoColon", {"--map", "HUP"}, {"--map", "HUP"}},
    {"MapBadTarget", {"--map", "HUP:FOO"}, {"--map", "FOO"}},
    {"MapOfAStopSignal", {"--map", "TERM:QUIT"}, {"--map", "TERM", "-s"}},
    {"MapKill", {"--map", "KILL:TERM"}, {"--map", "KILL"}},
    {"Scope", {"--scope", "everything"}, {"--scope", "everything", "main", "group", "tree"}},
    {"ForwardTo", {"--forward-to", "tree"}, {"--forward-to", "tree", "main", "group"}},
    {"Leftovers", {"--leftovers", "kill"}, {"--leftovers", "kill", "stop", "wait", "leave"}},
    {"DieWithWord", {"--die-with", "nobody"}, {"--die-with", "nobody", "parent", "stdin"}},
    {"DieWithZero", {"--die-with", "0"}, {"--die-with", "0"}},
    {"DieWithNegative", {"--die-with=-1"}, {"--die-with", "-1"}},
    {"DieWithNobody", {"--die-with", "2147483647"}, {"--die-with", "2147483647"}},
    {"OkExitWord", {"--ok-exit", "fine"}, {"--ok-exit", "fine"}},
    {"OkExitTooHigh", {"--ok-exit", "256"}, {"--ok-exit", "256"}},
    {"WorkdirUse", {"--workdir-use", "home"}, {"--workdir-use", "home", "cwd", "tmp"}},
    {"KeepWorkdir", {"--keep-workdir", "maybe"}, {"--keep-workdir", "maybe", "never", "on-failure", "always"}},
    {"CloseFds", {"--close-fds=all"}, {"--close-fds", "all", "except:"}},
    {"CloseFdsNumber", {"--close-fds=except:x"}, {"--close-fds", "x"}},
    {"CloseFdsNotOpen", {"--close-fds=except:77"}, {"--close-fds", "77"}},
    {"ReportFormat", {"--report-format", "xml"}, {"--report-format", "xml", "json", "text"}},
    {"ReportArgs", {"--report-args", "some"}, {"--report-args", "some", "redacted", "full", "none"}},
    {"ReportFdNotOpen", {"--report", "fd:77"}, {"--report", "fd:77"}},
    {"ReportFdReadOnly", {"--report", "fd:0"}, {"--report", "fd:0", "writing"}},
    {"EventsFdReadOnly", {"--events", "/dev/fd/0"}, {"--events", "/dev/fd/0", "writing"}},
    {"ReportFdNoNumber", {"--report", "fd:x"}, {"--report", "fd:x"}},
    {"ReportFdEmpty", {"--report", "fd:"}, {"--report", "fd:"}},
    {"ReportEmpty", {"--report", ""}, {"--report"}},
    {"ReportDirectoryMissing", {"--report", "/nonexistent/report.json"}, {"--report", "/nonexistent/report.json"}},
    {"ReportIsADirectory", {"--report", "/usr"}, {"--report", "/usr"}},
    {"EventsFdNotOpen", {"--events", "fd:77"}, {"--events", "fd:77"}},
    {"EventsUnwritable", {"--events", "/nonexistent/events"}, {"--events", "/nonexistent/events"}},
    {"WorkdirBaseMissing", {"--workdir-base", "/nonexistent"}, {"--workdir-base", "/nonexistent"}},
    {"WorkdirBaseIsAFile", {"--workdir-base", "/etc/passwd"}, {"--workdir-base", "/etc/passwd"}},
    {"WorkdirBaseEmpty", {"--workdir-base", ""}, {"--workdir-base"}},
    {"NameEmpty", {"--name", ""}, {"--name"}},
    {"Color", {"--color", "pink"}, {"--color", "pink", "auto", "always", "never"}},
    {"LadderAndSignal", {"--ladder", "INT:5s", "-s", "TERM"}, {"--ladder", "--signal"}},
    {"LadderAndKillAfter", {"--ladder", "INT:5s", "-k", "5s"}, {"--ladder", "--kill-after"}},
    {"NoWorkdirAndBase", {"--no-workdir", "--workdir-base", "/tmp"}, {"--no-workdir", "--workdir-base"}},
    {"NoWorkdirAndUse", {"--no-workdir", "--workdir-use", "cwd"}, {"--no-workdir", "--workdir-use"}},
    {"NoWorkdirAndKeep", {"--no-workdir", "--keep-workdir", "always"}, {"--no-workdir", "--keep-workdir"}},
};

INSTANTIATE_TEST_SUITE_P(Table, BadInput, testing::ValuesIn(kBad), [](const auto& test) { return test.param.name; });

class NoCommand : public testing::TestWithParam<Args> {};

TEST_P(NoCommand, IsAUsageErrorToo) {
  const Outcome outcome = run({.args = GetParam()});
  EXPECT_EQ(outcome.code(), 125);
  EXPECT_TRUE(outcome.out.empty()) << outcome.out;
  EXPECT_FALSE(outcome.err.empty());
}

INSTANTIATE_TEST_SUITE_P(BadInput, NoCommand,
                         testing::Values(Args{"run"}, Args{"run", "--"}, Args{"run", "--timeout", "5s"},
                                         Args{"run", "--timeout"}, Args{"run", "--name", "x", "--"},
                                         Args{"schema", "nonsense"}, Args{"schema", "report", "event"},
                                         Args{"schema"}));

TEST(BadInput, OfEveryOtherCommandNamesTheCommandAndItsHelp) {
  for (const char* command : {"sweep", "list", "show", "stop", "doctor", "schema"}) {
    for (const auto& [word, text] :
         {std::pair("--bogus", "unexpected \"--bogus\""), std::pair("--registry", "--registry")}) {
      const Outcome outcome = run({.args = {command, word}});
      EXPECT_EQ(outcome.code(), 125);
      EXPECT_TRUE(outcome.out.empty()) << outcome.out;
      EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
      EXPECT_THAT(outcome.err, HasSubstr(std::string("reapctl: ") + command + ": " + text));
      EXPECT_THAT(outcome.err, HasSubstr(std::string("; see reapctl ") + command + " --help"));
    }
  }
}

TEST(BadInput, AValueCannotAttackATerminalOrMakeLinesOfItsOwn) {
  const std::string value = "\x1b[31mX\nY\xc2\x9b";
  for (const Args& args : {Args{"run", "--ladder", value, "--", "true"}, Args{"run", "--" + value, "--", "true"},
                           Args{value}, Args{"run", "--report", "none", "--", value}, Args{"schema", value},
                           Args{"run", "--registry", "/nonexistent/" + value, "--report", "none", "--", "true"}}) {
    const Outcome outcome = run({.args = args});
    EXPECT_THAT(outcome.err, HasSubstr("\\x1b[31mX\\nY\\x9b"));
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    EXPECT_EQ(outcome.err.find('\x1b'), std::string::npos) << outcome.err;
  }
}

TEST(BadInput, AReportFileThatCannotBeWrittenIsFoundBeforeTheStart) {
  if (::geteuid() == 0) GTEST_SKIP() << "root can write everywhere";
  TempDir directory;
  write_file(directory / "report", "old");
  fs::create_directory(directory / "closed");
  fs::permissions(directory / "closed", fs::perms::owner_read | fs::perms::owner_exec);
  const Outcome outcome =
      run({.args = {"run", "--report", directory / "closed/report", "--", "touch", directory / "started"}});
  EXPECT_EQ(outcome.code(), 125);
  EXPECT_THAT(outcome.err, HasSubstr("closed/report"));
  EXPECT_FALSE(fs::exists(directory / "started"));
}

TEST(BadInput, GoodValuesOfTheSameKindsAreTaken) {
  // The other side of the table: none of these may be refused.
  const Args options{"--timeout",
                     "1.5h",
                     "--ladder",
                     "SIGINT/15:250ms,RTMIN+3:2,9",
                     "--stop-timeout",
                     "2d",
                     "--stop-on",
                     "sigterm,INT",
                     "--map",
                     "HUP:0",
                     "--die-with",
                     "parent",
                     "--ok-exit",
                     "255,RTMIN",
                     "--close-fds=except:0,1,2",
                     "--report-format",
                     "text",
                     "--scope",
                     "group"};
  Args args{"run", "--report", "none"};
  args.insert(args.end(), options.begin(), options.end());
  args.insert(args.end(), {"--", "true"});
  const Outcome outcome = run({.args = args});
  EXPECT_EQ(outcome.code(), 0) << outcome.err;
}

}  // namespace
}  // namespace reapctl::test
