#include "report/printable.hpp"
#include "report/process_lines.hpp"
#include "report/text.hpp"
#include "report_samples.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace reapctl::report {
namespace {

using core::ArgsShown;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::string text_of(const core::RunReport& report) {
  return to_text(report, ArgsShown::redacted);
}

TEST(ReportText, ATimeoutTellsWhoWasThereWhoStayedAndWhatIsFree) {
  EXPECT_EQ(text_of(test::timed_out()),
            "reapctl: pytest (C71E) timed out after 10m00s, exit 124\n"
            "  when stopped:  4410  python -m pytest -n 2   S  futex_wait   cpu 2%\n"
            "                 4433  └ python (gw0)          R               cpu 99%\n"
            "                 4502  └ redis-server  :6379   S  ep_poll      cpu 0%\n"
            "  INT   0.0s  3 told, 2 ended\n"
            "  KILL  5.0s  4433 python (gw0) did not end on INT\n"
            "  nothing left; port 6379 is free");
}

TEST(ReportText, ASuccessIsOneLine) {
  EXPECT_EQ(text_of(test::success()), "reapctl: make (C71E) succeeded after 2.4s, exit 0");
}

TEST(ReportText, TheFirstLineSaysHowItEnded) {
  core::RunReport report = test::success();
  const auto ended = [&report](core::RunResult result, int exit_code) {
    report.result = result;
    report.exit_code = exit_code;
    const std::string text = text_of(report);
    return text.substr(0, text.find('\n'));
  };
  EXPECT_EQ(ended(core::RunResult::exit_code, 3), "reapctl: make (C71E) failed after 2.4s, exit 3");
  EXPECT_EQ(ended(core::RunResult::overlap, 75),
            "reapctl: make (C71E) was not started: another run holds its lock, exit 75");
  EXPECT_EQ(ended(core::RunResult::success, 125), "reapctl: make (C71E) exited 0 after 2.4s, exit 125");
  report.exit->signal = 11;
  EXPECT_EQ(ended(core::RunResult::signal, 139), "reapctl: make (C71E) was killed by SEGV after 2.4s, exit 139");
  EXPECT_EQ(ended(core::RunResult::core_dump, 139), "reapctl: make (C71E) dumped core on SEGV after 2.4s, exit 139");
  report.stop = core::StopReport{.signal = 15, .sender_pid = 77, .after = core::Millis(900)};
  EXPECT_EQ(ended(core::RunResult::stopped, 143),
            "reapctl: make (C71E) was stopped by TERM from 77 after 900ms, exit 143");
  report.stop->cause = core::StopCause::die_with;
  EXPECT_EQ(ended(core::RunResult::stopped, 143),
            "reapctl: make (C71E) was stopped because what it was to die with is gone after 900ms, exit 143");
  EXPECT_EQ(ended(core::RunResult::guard_died, 125),
            "reapctl: make (C71E) lost its guard and was stopped after 900ms, exit 125");
  EXPECT_EQ(ended(core::RunResult::supervisor_died, 125),
            "reapctl: make (C71E) lost its supervisor and was stopped by the guard after 900ms, exit 125");
  report.stop.reset();
  report.main.reset();
  report.exit = {
      .kind = core::ExitKind::not_started, .code = {}, .signal = {}, .failed_stage = "exec", .failed_errno = ENOENT};
  EXPECT_EQ(ended(core::RunResult::not_started, 127),
            "reapctl: make (C71E) was not started: exec make: No such file or directory, exit 127");
}

TEST(ReportText, SurvivorsAreNamedWithTheReason) {
  core::RunReport report = test::timed_out();
  report.tree.survivors = {
      {.pid = 4433, .comm = "python", .state = 'D', .wchan = "rpc_wait", .reason = "does not wake up"}};
  report.tree.survivors_total = 2;
  EXPECT_THAT(text_of(report),
              EndsWith("\n  2 processes survived:  4433 python, state D in rpc_wait: does not wake up\n"
                       "                         and 1 more"));
  EXPECT_THAT(text_of(report), Not(HasSubstr("nothing left")));
}

TEST(ReportText, WhatWasLeftBehindIsNotCalledTheTreeWhenStopped) {
  core::RunReport report = test::timed_out();
  report.result = core::RunResult::success;
  report.exit_code = 0;
  report.stop->cause = core::StopCause::leftovers;
  EXPECT_THAT(text_of(report),
              StartsWith("reapctl: pytest (C71E) succeeded after 2.4s, exit 0\n  left behind:  4410  "));
}

TEST(ReportText, LeftoversThatNobodyStopped) {
  core::RunReport report = test::success();
  report.tree.leftovers = {
      {.process = test::process(7, 1, "redis", {"redis", "--pass", "x"}),
       .died_of = {},
       .after = core::Millis(1500),
       .rung = ""},
      {.process = test::process(8, 1, "cat"), .died_of = {}, .after = core::Millis(2), .rung = ""}};
  report.tree.leftovers[0].process.listening = {"0.0.0.0:80"};
  report.tree.freed = {"0.0.0.0:80"};
  EXPECT_THAT(text_of(report), EndsWith("exit 0\n  outlived the command:  7 redis --pass *** :80, ended 1.5s later\n"
                                        "                         8 cat, ended 2ms later\n"
                                        "  nothing left; port 80 is free"));
  report.tree.leftovers[1].after.reset();
  EXPECT_THAT(text_of(report), EndsWith("8 cat, not seen to end"));
}

TEST(ReportText, WarningsAndWhatBecameOfTheWorkDirectory) {
  core::RunReport report = test::success();
  report.warnings = {"no record: disk full", "second"};
  report.workdir = core::WorkdirReport{.path = "/tmp/w", .errors = {{"/tmp/w/a", "EBUSY"}}, .errors_total = 11};
  EXPECT_THAT(text_of(report), EndsWith("exit 0\n  not deleted:  /tmp/w/a (EBUSY)\n                and 10 more\n"
                                        "  warning: no record: disk full\n  warning: second"));
  report.workdir = core::WorkdirReport{.path = "/tmp/w", .errors = {{"w/mnt", "EXDEV"}}, .errors_total = 1};
  EXPECT_THAT(text_of(report), HasSubstr("\n  not deleted:  w/mnt (EXDEV: something is mounted there)\n"));
  report.workdir = core::WorkdirReport{.path = "/tmp/w", .kept = true};
  EXPECT_THAT(text_of(report), HasSubstr("\n  kept /tmp/w\n"));
  report.workdir = core::WorkdirReport{.path = "/tmp/w"};
  EXPECT_THAT(text_of(report), HasSubstr("\n  not deleted:  /tmp/w\n")) << "it was never begun";
  report.workdir = core::WorkdirReport{.path = "/tmp/w", .deleted = true};
  EXPECT_THAT(text_of(report), Not(HasSubstr("/tmp/w")));
}

TEST(ReportText, ManyWhoStayedAreCountedNotListed) {
  core::RunReport report = test::timed_out();
  report.stop->rungs[0].stayed.assign(core::kListLimit, {5, "x"});
  report.stop->rungs[0].stayed_total = 301;
  report.stop->rungs[1] = {
      .signal_name = "KILL", .at = core::Millis(250), .told = 12, .ended = 11, .left = 1, .stayed = {}};
  report.stop->timeout_hit = true;
  const std::string text = text_of(report);
  EXPECT_THAT(text, HasSubstr("\n  KILL  0.2s  5 x did not end on INT\n              5 x did"));
  EXPECT_THAT(
      text,
      HasSubstr("\n              and 293 more\n              12 told, 11 ended\n  the time for stopping was over"));
}

TEST(ReportText, ATitleIsShownFromItsBeginning) {
  core::RunReport report = test::timed_out();
  report.stop->snapshot = {test::process(7, 1, "nginx", {"nginx: master process nginx -c /x/nginx.conf"}),
                           test::process(8, 1, "nginx", {"/usr/sbin/nginx -c /x/nginx.conf", "-g"})};
  EXPECT_THAT(text_of(report), HasSubstr("7  nginx: master process nginx -c /x/nginx.conf   S"));
  EXPECT_THAT(text_of(report), HasSubstr("8  nginx -c /x/nginx.conf -g  "));
}

TEST(ReportText, NothingInItCanAttackATerminal) {
  core::RunReport report = test::timed_out();
  const std::string hostile = "\x1b]0;x\a\x9b\n\r\x7f\xc2\x9b\xff\u202e";
  report.name = hostile;
  report.run_id = hostile;
  report.argv = {hostile};
  report.warnings = {hostile};
  report.workdir = core::WorkdirReport{.path = hostile, .kept = true, .errors = {{hostile, hostile}}};
  for (core::ProcessDetails& process : report.stop->snapshot) {
    process.comm = process.wchan = hostile;
    process.argv = {hostile, hostile};
    process.state = '\x1b';
  }
  report.stop->rungs[0].stayed = {{1, hostile}};
  report.tree.survivors = {{.pid = 9, .comm = hostile, .state = '\n', .wchan = hostile, .reason = hostile}};
  report.tree.leftovers = {{.process = report.stop->snapshot[0], .died_of = {}, .after = {}, .rung = hostile}};
  const auto expect_safe = [&report] {
    for (const char c : text_of(report)) {
      const auto byte = static_cast<unsigned char>(c);
      EXPECT_TRUE((byte >= 0x20 && byte != 0x7f) || c == '\n');
      EXPECT_NE(byte, 0x9b);
      EXPECT_NE(byte, 0xff);
    }
    EXPECT_THAT(text_of(report), Not(HasSubstr("\u202e")));
  };
  const auto lines = [&report] {
    const std::string text = text_of(report);
    return std::count(text.begin(), text.end(), '\n');
  };
  expect_safe();
  EXPECT_EQ(lines(), 9);  // name, three processes, two rungs, kept, not deleted, warning, survivor
  report.stop.reset();
  expect_safe();
  report.result = core::RunResult::not_started;
  report.exit = {
      .kind = core::ExitKind::not_started, .code = {}, .signal = {}, .failed_stage = "exec", .failed_errno = ENOENT};
  expect_safe();
}

TEST(Printable, EscapesControlsBadBytesAndInvisibleCharacters) {
  EXPECT_EQ(printable("plain ünï 漢 🙂"), "plain ünï 漢 🙂");
  EXPECT_EQ(printable("\x1b[1m"), "\\x1b[1m");
  EXPECT_EQ(printable("a\nb\tc\\"), "a\\nb\\tc\\\\");
  EXPECT_EQ(printable(std::string_view("\0", 1)), "\\x00");
  EXPECT_EQ(printable("\x7f\xc2\x9b"), "\\x7f\\x9b");
  EXPECT_EQ(printable("\xff\xc3"), "\\xff\\xc3");
  EXPECT_EQ(printable("\xc0\xaf\xed\xa0\x80"), "\\xc0\\xaf\\xed\\xa0\\x80");  // overlong, surrogate
  EXPECT_EQ(printable("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");           // above U+10FFFF
  EXPECT_EQ(printable("\u202e\u200b\ufeff"), "\\u202e\\u200b\\ufeff");
}

TEST(Printable, CutsBetweenCharacters) {
  EXPECT_EQ(shortened("äöü", 3), "äöü");
  EXPECT_EQ(shortened("äöüx", 3), "äö…");
  EXPECT_EQ(width("äöü"), 3U);
}

TEST(ProcessLines, GrandchildrenStandBelowTheirParents) {
  std::vector<core::ProcessDetails> processes = {test::process(5, 1, "a"), test::process(6, 1, "b"),
                                                 test::process(70, 6, "d"), test::process(8, 5, "c"),
                                                 test::process(9, 8, "e")};
  processes[4].state = '?';
  EXPECT_EQ(process_lines(processes, ArgsShown::full),
            (std::vector<std::string>{" 5  a       S  ep_poll   cpu 0%", " 8  └ c     S  ep_poll   cpu 0%",
                                      " 9    └ e      ep_poll", " 6  b       S  ep_poll   cpu 0%",
                                      "70  └ d     S  ep_poll   cpu 0%"}));
}

TEST(ProcessLines, ACircleOfParentsLosesNobody) {
  EXPECT_EQ(
      process_lines({test::process(5, 6, "a"), test::process(6, 5, "b"), test::process(7, 7, "c")}, ArgsShown::full)
          .size(),
      3U);
}

TEST(ProcessLines, TheCommandLineIsShownAsAskedAndCut) {
  const core::ProcessDetails process = test::process(5, 1, "comm", {"/usr/bin/x", "--token=y"});
  EXPECT_EQ(process_label(process, ArgsShown::redacted), "x --token=***");
  EXPECT_EQ(process_label(process, ArgsShown::full), "x --token=y");
  EXPECT_EQ(process_label(process, ArgsShown::none), "comm");
  EXPECT_EQ(process_label(test::process(5, 1, ""), ArgsShown::full), "?");
  EXPECT_EQ(width(process_label(test::process(5, 1, "", {std::string(1000, 'x')}), ArgsShown::full)), 48U);
}

TEST(ProcessLines, PortsAreTheLastPartOfAnAddress) {
  EXPECT_EQ(ports_of({"127.0.0.1:6379", "[::]:80", "[::1]:6379", "", "x", "y:", "z:8x"}), (std::vector<int>{80, 6379}));
}

}  // namespace
}  // namespace reapctl::report
