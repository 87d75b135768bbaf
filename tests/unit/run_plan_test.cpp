#include "cli/run_plan.hpp"

#include "support/scoped_variable.hpp"
#include "sys/unique_fd.hpp"

#include <algorithm>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <initializer_list>
#include <utility>

#include <gmock/gmock.h>

namespace reapctl::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::StartsWith;

using core::Millis;
using test::ScopedVariable;

using Options = std::initializer_list<std::pair<const char*, const char*>>;

sys::Result<core::RunPlan> make(const Options& options, std::vector<std::string> command = {"cmd"}) {
  GivenOptions given;
  for (const auto& [name, value] : options) given.add(name, value);
  return make_run_plan(given, std::move(command));
}

core::RunPlan plan(const Options& options = {}, std::vector<std::string> command = {"cmd"}) {
  auto result = make(options, std::move(command));
  EXPECT_TRUE(result) << (result ? "" : result.error().message());
  return result ? result.take() : core::RunPlan{};
}

/// The message; empty if there was none.
std::string refusal(const Options& options) {
  const auto result = make(options);
  EXPECT_FALSE(result) << options.begin()->first << ' ' << options.begin()->second;
  return result ? std::string() : result.error().message();
}

/// A number that no open descriptor has.
int closed_descriptor() {
  const sys::UniqueFd fd(::fcntl(2, F_DUPFD_CLOEXEC, 100));
  return fd.get();
}

TEST(RunPlanDefaults, AreThoseOfTheContract) {
  const ScopedVariable no_tmpdir("TMPDIR", nullptr);
  const auto made = plan({}, {"/usr/bin/sleep", "5"});
  EXPECT_THAT(made.argv, ElementsAre("/usr/bin/sleep", "5"));
  EXPECT_EQ(made.name, "sleep");
  EXPECT_EQ(made.rules.ladder, (core::Ladder{{.signal = SIGINT, .if_ignored = SIGTERM, .bound = Millis(5000)}}));
  EXPECT_EQ(made.rules.leftovers, core::Leftovers::stop);
  EXPECT_FALSE(made.rules.timeout);
  EXPECT_FALSE(made.rules.stop_timeout);
  EXPECT_EQ(made.scope, core::Scope::tree);
  EXPECT_THAT(made.stop_on, ElementsAre(SIGINT, SIGTERM));
  EXPECT_THAT(made.signal_map, IsEmpty());
  EXPECT_EQ(made.forward_to, core::ForwardTo::main);
  EXPECT_EQ(made.die_with.kind, core::DieWith::Kind::nothing);
  EXPECT_THAT(made.ok_exit.codes, IsEmpty());
  EXPECT_FALSE(made.no_new_privs);
  EXPECT_FALSE(made.close_fds);
  EXPECT_TRUE(made.workdir.wanted);
  EXPECT_FALSE(made.workdir.required);
  EXPECT_EQ(made.workdir.base, "/tmp");
  EXPECT_FALSE(made.workdir.use_as_cwd || made.workdir.use_as_tmp);
  EXPECT_EQ(made.workdir.keep, core::KeepWorkdir::never);
  EXPECT_EQ(made.report.descriptor, 2);
  EXPECT_EQ(made.report_format, core::ReportFormat::json);
  EXPECT_EQ(made.report_args, core::ArgsShown::redacted);
  EXPECT_EQ(made.events.kind, core::OutputTarget::Kind::none);
}

TEST(RunPlanName, IsTheLastPartOfTheCommand) {
  EXPECT_EQ(plan({}, {"make"}).name, "make");
  EXPECT_EQ(plan({}, {"../a/b c"}).name, "b c");
  EXPECT_EQ(plan({}, {"dir///"}).name, "dir");
  EXPECT_EQ(plan({}, {"/"}).name, "");
  EXPECT_EQ(plan({}, {""}).name, "");
  EXPECT_EQ(plan({{"name", "x/y"}}, {"make"}).name, "x/y");
  EXPECT_THAT(refusal({{"name", ""}}), HasSubstr("--name \"\": expected a name"));
}

TEST(RunPlanStopping, ZeroIsNoTimeoutButAStopAtOnce) {
  EXPECT_EQ(plan({{"timeout", "1.5h"}}).rules.timeout, Millis(5'400'000));
  EXPECT_FALSE(plan({{"timeout", "0"}}).rules.timeout);
  EXPECT_FALSE(plan({{"timeout", "0ms"}}).rules.timeout);
  EXPECT_EQ(plan({{"stop-timeout", "0"}}).rules.stop_timeout, Millis(0));
  EXPECT_EQ(plan({{"kill-after", "0"}}).rules.ladder.front().bound, Millis(0));
  EXPECT_EQ(plan({{"ladder", "TERM:0"}}).rules.ladder.front().bound, Millis(0));
}

TEST(RunPlanStopping, TheLastOfSeveralCounts) {
  EXPECT_EQ(plan({{"timeout", "1"}, {"timeout", "2"}}).rules.timeout, Millis(2000));
  EXPECT_FALSE(plan({{"timeout", "1"}, {"timeout", "0"}}).rules.timeout);
}

TEST(RunPlanStopping, SignalAndKillAfterAreAShortLadder) {
  const auto ladder = [](const Options& options) { return plan(options).rules.ladder; };
  EXPECT_EQ(ladder({{"signal", "HUP"}, {"kill-after", "2s"}}), core::parse_ladder("HUP:2s,KILL").value());
  EXPECT_EQ(ladder({{"signal", "HUP"}}), core::parse_ladder("HUP:5s,KILL").value());
  EXPECT_EQ(ladder({{"kill-after", "2s"}}), core::parse_ladder("INT/TERM:2s,KILL").value());
  EXPECT_THAT(ladder({{"signal", "KILL"}}), IsEmpty());
  EXPECT_THAT(refusal({{"signal", "KILL"}, {"kill-after", "2s"}}), HasSubstr("--kill-after \"2s\": has no use"));
  EXPECT_THAT(refusal({{"signal", "FOO"}}), HasSubstr("--signal \"FOO\": unknown signal"));
}

TEST(RunPlanStopping, TheShortLadderExcludesTheLongOne) {
  EXPECT_THAT(refusal({{"ladder", "INT"}, {"signal", "INT"}}), HasSubstr("exclude each other"));
  EXPECT_THAT(refusal({{"ladder", "INT"}, {"kill-after", "1"}}),
              HasSubstr("--ladder \"INT\" and --kill-after \"1\" exclude"));
}

TEST(RunPlanStopping, ALadderFromTheEnvironmentGivesWayToTheCommandLine) {
  const ScopedVariable variable("REAPCTL_OPT_LADDER", "HUP:9s");
  const auto& rows = run_option_rows();
  const auto row = std::find_if(rows.begin(), rows.end(), [](const OptionRow& each) { return each.name == "ladder"; });
  ASSERT_NE(row, rows.end());
  GivenOptions given;
  given.add_from_environment(*row);
  EXPECT_EQ(make_run_plan(given, {"x"})->rules.ladder, core::parse_ladder("HUP:9s").value());
  given.add("signal", "TERM");
  EXPECT_EQ(make_run_plan(given, {"x"})->rules.ladder, core::parse_ladder("TERM:5s").value());
}

TEST(RunPlanStopping, AWrongVariableIsNamed) {
  const ScopedVariable variable("REAPCTL_OPT_STOP_TIMEOUT", "soon");
  GivenOptions given;
  given.add_from_environment({"stop-timeout", 0, "DUR", "", "", true});
  EXPECT_THAT(make_run_plan(given, {"x"}).error().message(), StartsWith("REAPCTL_OPT_STOP_TIMEOUT \"soon\": expected"));
}

TEST(RunPlanSignals, StopOnReplacesTheDefault) {
  EXPECT_THAT(plan({{"stop-on", "HUP,SIGINT,RTMIN+1"}}).stop_on, ElementsAre(SIGHUP, SIGINT, SIGRTMIN + 1));
  EXPECT_THAT(plan({{"stop-on", "none"}}).stop_on, IsEmpty());
  for (const char* value : {"", "INT,", "INT,none", "all"}) {
    EXPECT_THAT(refusal({{"stop-on", value}}), HasSubstr("unknown signal")) << value;
  }
  EXPECT_THAT(refusal({{"stop-on", "KILL"}}), HasSubstr("KILL cannot be received"));
  EXPECT_THAT(refusal({{"stop-on", "STOP"}}), HasSubstr("STOP cannot be received"));
  for (const char* value : {"CHLD", "PIPE", "CONT", "TSTP", "TTIN", "TTOU"}) {
    EXPECT_THAT(refusal({{"stop-on", value}}), HasSubstr("a meaning of its own")) << value;
  }
}

TEST(RunPlanSignals, MapRewritesDropsAndAddsUp) {
  EXPECT_THAT(plan({{"map", "HUP:USR1"}, {"map", "QUIT:0"}, {"map", "HUP:USR2"}}).signal_map,
              ElementsAre(Pair(SIGHUP, SIGUSR2), Pair(SIGQUIT, 0)));
  EXPECT_THAT(refusal({{"map", "HUP"}}), HasSubstr("expected SIG:SIG"));
  EXPECT_THAT(refusal({{"map", "HUP:"}}), HasSubstr("unknown signal \"\""));
  EXPECT_THAT(refusal({{"map", "0:HUP"}}), HasSubstr("unknown signal \"0\""));
  EXPECT_THAT(refusal({{"map", "KILL:HUP"}}), HasSubstr("KILL cannot be received"));
}

TEST(RunPlanSignals, WhatIsNeverForwardedCannotBeMapped) {
  for (const char* from : {"CHLD", "PIPE", "CONT", "TSTP", "TTIN", "TTOU"}) {
    EXPECT_THAT(refusal({{"map", (std::string(from) + ":HUP").c_str()}}), HasSubstr("is never forwarded")) << from;
  }
}

TEST(RunPlanSignals, MappingAStopSignalPointsToSignal) {
  EXPECT_THAT(refusal({{"map", "TERM:QUIT"}}), HasSubstr("use -s"));
  EXPECT_THAT(plan({{"stop-on", "INT"}, {"map", "TERM:QUIT"}}).signal_map, ElementsAre(Pair(SIGTERM, SIGQUIT)));
  EXPECT_THAT(refusal({{"stop-on", "HUP"}, {"map", "HUP:0"}}), HasSubstr("use -s"));
}

TEST(RunPlanChoices, AreReadAndRefused) {
  EXPECT_EQ(plan({{"scope", "main"}}).scope, core::Scope::main);
  EXPECT_EQ(plan({{"scope", "group"}}).scope, core::Scope::group);
  EXPECT_EQ(plan({{"forward-to", "group"}}).forward_to, core::ForwardTo::group);
  EXPECT_EQ(plan({{"leftovers", "wait"}}).rules.leftovers, core::Leftovers::wait);
  EXPECT_EQ(plan({{"leftovers", "leave"}}).rules.leftovers, core::Leftovers::leave);
  EXPECT_EQ(plan({{"keep-workdir", "on-failure"}}).workdir.keep, core::KeepWorkdir::on_failure);
  EXPECT_EQ(plan({{"keep-workdir", "always"}}).workdir.keep, core::KeepWorkdir::always);
  EXPECT_EQ(plan({{"report-format", "text"}}).report_format, core::ReportFormat::text);
  EXPECT_EQ(plan({{"report-args", "full"}}).report_args, core::ArgsShown::full);
  EXPECT_EQ(plan({{"report-args", "none"}}).report_args, core::ArgsShown::none);
  EXPECT_THAT(refusal({{"scope", "Tree"}}), HasSubstr("--scope \"Tree\": expected one of main, group, tree"));
  for (const char* option : {"scope", "forward-to", "leftovers", "keep-workdir", "report-format", "report-args"}) {
    EXPECT_THAT(refusal({{option, ""}}), HasSubstr("expected one of")) << option;
  }
}

TEST(RunPlanDieWith, IsParentStdinOrAPid) {
  EXPECT_EQ(plan({{"die-with", "parent"}}).die_with.kind, core::DieWith::Kind::parent);
  EXPECT_EQ(plan({{"die-with", "stdin"}}).die_with.kind, core::DieWith::Kind::standard_input);
  EXPECT_EQ(plan({{"die-with", "123"}}).die_with.kind, core::DieWith::Kind::process);
  EXPECT_EQ(plan({{"die-with", "123"}}).die_with.pid, 123);
  for (const char* value : {"", "0", "-1", "12x", "99999999999", "self"}) {
    EXPECT_THAT(refusal({{"die-with", value}}), HasSubstr("expected parent, stdin or the pid")) << value;
  }
}

TEST(RunPlanOkExit, TakesCodesAndSignals) {
  const auto made = plan({{"ok-exit", "3,TERM"}, {"ok-exit", "255,SIGINT,0"}});
  EXPECT_THAT(made.ok_exit.codes, ElementsAre(0, 3, 255));
  EXPECT_THAT(made.ok_exit.signals, ElementsAre(SIGINT, SIGTERM));
  EXPECT_THAT(refusal({{"ok-exit", "256"}}), HasSubstr("from 0 to 255"));
  for (const char* value : {"", "3,", "-1", "-0", "+1", "3 ", "0x3", "99999999999"}) {
    EXPECT_THAT(refusal({{"ok-exit", value}}), HasSubstr("--ok-exit")) << value;
  }
}

TEST(RunPlanCloseFds, NamesOpenDescriptors) {
  EXPECT_THAT(plan({{"close-fds", ""}}).close_fds.value(), IsEmpty());
  EXPECT_THAT(plan({{"close-fds", "except:2,1"}}).close_fds.value(), ElementsAre(2, 1));
  EXPECT_THAT(refusal({{"close-fds", "2"}}), HasSubstr("except:N"));
  EXPECT_THAT(refusal({{"close-fds", "except:"}}), HasSubstr("expected descriptor numbers"));
  EXPECT_THAT(refusal({{"close-fds", "except:1,x"}}), HasSubstr("expected descriptor numbers"));
  const std::string closed = "except:" + std::to_string(closed_descriptor());
  EXPECT_THAT(refusal({{"close-fds", closed.c_str()}}), HasSubstr("is not open"));
}

TEST(RunPlanWorkdir, LivesInTmpdirUnlessSaidElsewise) {
  {
    const ScopedVariable tmpdir("TMPDIR", "/var/tmp");
    EXPECT_EQ(plan().workdir.base, "/var/tmp");
    EXPECT_EQ(plan({{"workdir-base", "here"}}).workdir.base, "here");
  }
  const ScopedVariable empty("TMPDIR", "");
  EXPECT_EQ(plan().workdir.base, "/tmp");
}

TEST(RunPlanWorkdir, IsRequiredWhenAskedForInWords) {
  EXPECT_TRUE(plan({{"workdir-base", "/x"}}).workdir.required);
  const auto both = plan({{"workdir-use", "cwd,tmp"}});
  EXPECT_TRUE(both.workdir.required && both.workdir.use_as_cwd && both.workdir.use_as_tmp);
  EXPECT_FALSE(plan({{"workdir-use", "tmp"}}).workdir.use_as_cwd);
  EXPECT_FALSE(plan({{"no-workdir", ""}}).workdir.wanted);
  EXPECT_THAT(refusal({{"workdir-base", ""}}), HasSubstr("expected a directory"));
  EXPECT_THAT(refusal({{"workdir-use", "cwd,"}}), HasSubstr("expected cwd, tmp or cwd,tmp"));
}

TEST(RunPlanWorkdir, NoneExcludesWhatNeedsOne) {
  EXPECT_THAT(refusal({{"no-workdir", ""}, {"workdir-base", "/x"}}),
              HasSubstr("--no-workdir and --workdir-base \"/x\" exclude each other"));
  EXPECT_THAT(refusal({{"no-workdir", ""}, {"workdir-use", "tmp"}}), HasSubstr("exclude each other"));
  EXPECT_THAT(refusal({{"no-workdir", ""}, {"keep-workdir", "always"}}), HasSubstr("exclude each other"));
}

TEST(RunPlanRemove, PathsAreMadeAbsoluteAndAddUp) {
  const auto here = std::filesystem::current_path().string();
  EXPECT_THAT(plan({{"remove", "/run/x.sock"}, {"remove", "a/b.pid"}}).remove_paths,
              ElementsAre("/run/x.sock", here + "/a/b.pid"));
  EXPECT_THAT(refusal({{"remove", ""}}), HasSubstr("expected the path of a file"));
  EXPECT_THAT(refusal({{"remove", "dir/"}}), HasSubstr("expected the path of a file"));
}

TEST(RunPlanReport, GoesWhereItIsSent) {
  using Kind = core::OutputTarget::Kind;
  EXPECT_EQ(plan({{"report", "none"}}).report.kind, Kind::none);
  EXPECT_EQ(plan({{"report", "stdout"}}).report.descriptor, 1);
  EXPECT_EQ(plan({{"report", "stderr"}}).report.descriptor, 2);
  EXPECT_EQ(plan({{"report", "fd:1"}}).report.descriptor, 1);
  EXPECT_EQ(plan({{"report", "fd:1"}}).report.kind, Kind::descriptor);
  EXPECT_EQ(plan({{"report", "out.json"}}).report.kind, Kind::file);
  EXPECT_EQ(plan({{"report", "out.json"}}).report.path, "out.json");
  EXPECT_EQ(plan({{"events", "e"}}).events.path, "e");
  EXPECT_EQ(plan({{"events", "fd:2"}}).events.descriptor, 2);
  for (const char* option : {"report", "events"}) {
    EXPECT_THAT(refusal({{option, ""}}), HasSubstr("expected a file or fd:N"));
    EXPECT_THAT(refusal({{option, "fd:"}}), HasSubstr("the number of an open descriptor"));
    EXPECT_THAT(refusal({{option, "fd:-1"}}), HasSubstr("the number of an open descriptor"));
    const std::string closed = "fd:" + std::to_string(closed_descriptor());
    EXPECT_THAT(refusal({{option, closed.c_str()}}), HasSubstr("is not open"));
  }
}

TEST(RunPlanReport, ADescriptorByItsPathIsThatDescriptor) {
  // As a file it would be replaced, and what the command has written into it would be gone.
  for (const auto& [path, fd] : {std::pair("-", 1), std::pair("/dev/stdout", 1), std::pair("/dev/stderr", 2),
                                 std::pair("/dev/fd/1", 1), std::pair("/proc/self/fd/2", 2)}) {
    for (const char* option : {"report", "events"}) {
      const auto made = plan({{option, path}});
      const core::OutputTarget& target = option == std::string_view("report") ? made.report : made.events;
      EXPECT_EQ(target.kind, core::OutputTarget::Kind::descriptor) << option << ' ' << path;
      EXPECT_EQ(target.descriptor, fd) << option << ' ' << path;
    }
  }
  EXPECT_EQ(plan({{"report", "/dev/null"}}).report.kind, core::OutputTarget::Kind::file);
}

TEST(RunPlanOverlap, ALockHasAFileNameAndSkipsByDefault) {
  EXPECT_FALSE(plan().lock);
  const auto made = plan({{"lock", "backup"}});
  ASSERT_TRUE(made.lock);
  EXPECT_EQ(made.lock->name, "backup");
  EXPECT_EQ(made.lock->on_overlap, core::OnOverlap::skip);
  for (const char* name : {"", ".", "..", "a/b", "a b"}) {
    EXPECT_THAT(refusal({{"lock", name}}), HasSubstr("expected 1 to 64 letters")) << name;
  }
}

TEST(RunPlanOverlap, OnOverlapIsOneOfFour) {
  const auto made = [](const char* policy) { return *plan({{"lock", "x"}, {"on-overlap", policy}}).lock; };
  EXPECT_EQ(made("skip").on_overlap, core::OnOverlap::skip);
  EXPECT_EQ(made("fail").on_overlap, core::OnOverlap::fail);
  EXPECT_EQ(made("kill").on_overlap, core::OnOverlap::kill);
  EXPECT_EQ(made("wait").on_overlap, core::OnOverlap::wait);
  EXPECT_FALSE(made("wait").wait_limit);
  EXPECT_EQ(made("wait=5m").on_overlap, core::OnOverlap::wait);
  EXPECT_EQ(made("wait=5m").wait_limit, Millis(300'000));
  EXPECT_EQ(made("wait=0").wait_limit, Millis(0));
  EXPECT_THAT(refusal({{"lock", "x"}, {"on-overlap", "wait=soon"}}), HasSubstr("--on-overlap wait \"soon\": expected"));
  EXPECT_THAT(refusal({{"lock", "x"}, {"on-overlap", "die"}}), HasSubstr("skip, wait, fail, kill"));
  EXPECT_THAT(refusal({{"on-overlap", "skip"}}), HasSubstr("needs --lock"));
}

TEST(RunPlanOverlap, SplayIsADurationAndZeroIsNone) {
  EXPECT_EQ(plan().splay, Millis(0));
  EXPECT_EQ(plan({{"splay", "0"}}).splay, Millis(0));
  EXPECT_EQ(plan({{"splay", "10m"}}).splay, Millis(600'000));
  EXPECT_THAT(refusal({{"splay", "-1"}}), HasSubstr("--splay \"-1\": expected"));
}

TEST(RunPlanOutput, TailIsASizeAndNotForWhatIsLeftRunning) {
  EXPECT_EQ(plan().tail_bytes, 0U);
  EXPECT_EQ(plan({{"tail", "64k"}}).tail_bytes, 65536U);
  EXPECT_THAT(refusal({{"tail", "17M"}}), HasSubstr("--tail \"17M\": expected at most 16M"));
  EXPECT_THAT(refusal({{"tail", "1k"}, {"leftovers", "leave"}}), HasSubstr("does not go with --leftovers leave"));
  EXPECT_EQ(plan({{"tail", "0"}, {"leftovers", "leave"}}).tail_bytes, 0U);
  EXPECT_EQ(plan({{"tail", "1k"}, {"quiet-on-success", ""}, {"leftovers", "leave"}}).tail_bytes, 1024U)
      << "files lead somewhere";
  EXPECT_FALSE(plan().quiet_on_success);
  EXPECT_TRUE(plan({{"quiet-on-success", ""}}).quiet_on_success);
}

}  // namespace
}  // namespace reapctl::cli
