#include "support/process.hpp"
#include "support/reapctl.hpp"
#include "support/sweep_fixture.hpp"
#include "support/tool.hpp"

#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

/// --lock and --on-overlap.
namespace reapctl::test {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

class Lock : public SweepFixture {
 protected:
  Outcome contend(Args options, Args command = {"echo", "ran"}) {
    options.insert(options.begin(), {"run", "--workdir-base", base_, "--lock", "backup"});
    options.emplace_back("--");
    options.insert(options.end(), command.begin(), command.end());
    return run({.args = std::move(options), .with_report = true, .env = environment_, .leaves_processes = true});
  }

  std::unique_ptr<Reapctl> contend_later(Args options) {
    options.insert(options.begin(), {"run", "--lock", "backup"});
    options.insert(options.end(), {"--", "echo", "ran"});
    return std::make_unique<Reapctl>(
        Launch{.args = std::move(options), .with_report = true, .env = environment_, .leaves_processes = true});
  }

  /// A run that holds the lock until it is stopped.
  std::unique_ptr<Reapctl> hold(Args steps = {}, Args options = {}, Args roles = {}) {
    options.insert(options.end(), {"--lock", "backup", "--name", "nightly"});
    auto holder = start("holder", std::move(steps), std::move(options));
    roles.emplace_back("holder");
    processes_ = roster_.await_roles(roles);
    main_ = processes_.at("holder");
    return holder;
  }

  /// The same, and what it does is to wait for another run.
  std::unique_ptr<Reapctl> hold_by_inner_run() {
    const Args options{"--contain", "subreaper", "--report", "none", "--workdir-base", base_};
    Args args{"run", "--lock", "backup", "--name", "nightly"};
    args.insert(args.end(), options.begin(), options.end());
    args.insert(args.end(), {"--", reapctl_path(), "run", "--name", "inner"});
    args.insert(args.end(), options.begin(), options.end());
    args.emplace_back("--");
    for (std::string& word : misbehave(roster_, {"ready=inner"})) args.push_back(std::move(word));
    auto holder =
        std::make_unique<Reapctl>(Launch{.args = std::move(args), .env = environment_, .leaves_processes = true});
    main_ = roster_.await_roles({"inner"}).at("inner");
    return holder;
  }

  /// Kills the reapctl of a run that is not our child, at one blow.
  static void kill_reapctl(pid_t front, const Process& main) {
    const pid_t supervisor = supervisor_of(main);
    for (const int signal : {SIGSTOP, SIGKILL}) {
      send_signal(supervisor, signal);
      send_signal(front, signal);
    }
    EXPECT_TRUE(await([supervisor, &main] { return supervisor_of(main) != supervisor; }));
  }

  [[nodiscard]] fs::path entry_named(const std::string& name) const {
    for (const auto& entry : fs::directory_iterator(registry_)) {
      if (read_file(entry.path() / "record.json").find("\"name\":\"" + name + "\"") != std::string::npos) return entry;
    }
    return {};
  }

  void stop(Reapctl& reapctl) {
    reapctl.send(SIGTERM);
    (void)reapctl.wait();
  }

  std::map<std::string, Process> processes_;
  Process main_;
};

TEST_F(Lock, WhoLosesSaysWhoHasItSinceWhenAndWhatThatIsDoing) {
  const auto holder = hold();
  EXPECT_TRUE(await([&] { return read_stat(main_.pid).value_or(ProcStat{}).state == 'S'; }));
  const std::string who = "lock \"backup\" is held by run " + only_entry().filename().string() + " nightly (reapctl " +
                          std::to_string(holder->pid()) + ") since ";
  const std::string what = "running " + misbehave_path();
  const std::string pid = "(pid " + std::to_string(main_.pid) + ", state S";
  const Outcome skipped = contend({});
  EXPECT_EQ(skipped.code(), 0);
  EXPECT_EQ(skipped.out, "");
  EXPECT_THAT(skipped.err, AllOf(HasSubstr(who), HasSubstr(what), HasSubstr(pid)));
  EXPECT_EQ(skipped.report["result"], "overlap");
  EXPECT_EQ(skipped.report["exit_code"], 0);
  EXPECT_TRUE(skipped.report["main"].is_null());
  EXPECT_TRUE(skipped.report["workdir"].is_null());
  EXPECT_THAT(skipped.report["warnings"][0].get<std::string>(), HasSubstr(who));
  const Outcome failed = contend({"--on-overlap", "fail", "--report-format", "json"});
  EXPECT_EQ(failed.code(), 75);
  EXPECT_EQ(failed.report["exit_code"], 75);
  const Outcome text = run({.args = {"run", "--report-format", "text", "--lock", "backup", "--", "echo", "ran"},
                            .env = environment_,
                            .leaves_processes = true});
  EXPECT_THAT(text.err, AllOf(HasSubstr("was not started: another run holds its lock, exit 0"), HasSubstr(who)));
  EXPECT_EQ(text.err.find(who), text.err.rfind(who)) << "said once";
  stop(*holder);
  EXPECT_EQ(contend({}).out, "ran\n");
  EXPECT_TRUE(nothing_on_record());
}

TEST_F(Lock, AWaitThatRunsOutExits75AndALongerOneGetsItsTurn) {
  const auto holder = hold();
  const Outcome late = contend({"--on-overlap", "wait=50ms"});
  EXPECT_EQ(late.code(), 75);
  EXPECT_EQ(late.report["result"], "overlap");
  EXPECT_GE(late.report["duration_ms"], 50);
  const auto waiting = contend_later({"--on-overlap=wait"});
  EXPECT_TRUE(await([&] { return listens(waiting->pid()); }));
  stop(*holder);
  const Outcome outcome = waiting->wait();
  EXPECT_EQ(outcome.code(), 0);
  EXPECT_EQ(outcome.out, "ran\n");
  EXPECT_EQ(outcome.report["result"], "success");
}

TEST_F(Lock, KillStopsTheHolderByItsOwnLadderThroughItsOwnReapctl) {
  const auto holder = hold({"on=USR1:say=heard", "on=USR1:exit=3"}, {"--ladder", "USR1:60s,KILL"});
  const Outcome outcome = contend({"--on-overlap", "kill"});
  EXPECT_EQ(outcome.code(), 0);
  EXPECT_EQ(outcome.out, "ran\n");
  EXPECT_EQ(roster_.next().role, "heard");
  EXPECT_EQ(holder->wait().code(), 3);
}

TEST_F(Lock, KillReachesAHolderWhoseReapctlIsStopped) {
  for (const bool supervisor : {true, false}) {
    const auto holder = hold();
    send_signal(supervisor ? supervisor_of(main_) : holder->pid(), SIGSTOP);
    EXPECT_EQ(contend({}).report["result"], "overlap") << "it has the lock all the same";
    EXPECT_EQ(contend({"--on-overlap", "kill"}).out, "ran\n");
    EXPECT_FALSE(is_alive(main_));
    (void)holder->wait();
  }
}

TEST_F(Lock, AHolderThatNoSignalStopsIsNotKilledAndNothingRuns) {
  const auto holder = hold({}, {"--stop-on", "none"});
  const Outcome outcome = contend({"--on-overlap", "kill"});
  EXPECT_EQ(outcome.code(), 125);
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, HasSubstr("no signal stops it"));
  EXPECT_TRUE(is_alive(main_));
  orphan(*holder, main_);
  EXPECT_EQ(sweep({"--ladder", "KILL"})["summary"]["killed"], 1);
}

TEST_F(Lock, IsFreeOnlyWhenTheWholeTreeIsGoneWhateverKilledItsReapctl) {
  const auto holder =
      hold({"ignore=INT", "fork", "[", "setsid", "ignore=INT", "env-clear", "ready=deaf", "]"}, {}, {"deaf"});
  const Process deaf = processes_.at("deaf");
  orphan(*holder, main_);
  EXPECT_TRUE(is_alive(main_));
  EXPECT_TRUE(is_alive(deaf));
  EXPECT_THAT(reapctl({"sweep", "-n"}).out, HasSubstr("lock \"backup\" becomes free"));
  // The command looks for them: when it runs they are gone.
  const Outcome outcome =
      contend({}, sh("test ! -d /proc/" + std::to_string(main_.pid) + " || grep -q 'State:.Z' /proc/" +
                     std::to_string(main_.pid) + "/status; echo $?"));
  EXPECT_EQ(outcome.code(), 0) << outcome.err;
  EXPECT_EQ(outcome.out, "0\n");
  EXPECT_FALSE(is_alive(main_));
  EXPECT_FALSE(is_alive(deaf));
  EXPECT_TRUE(nothing_on_record());
  EXPECT_TRUE(fs::is_empty(base_)) << "its directory too";
}

TEST_F(Lock, IsHeldByARunInsideOfAHolderWhoseReapctlWasKilled) {
  for (const std::string policy : {"wait", "kill"}) {
    const auto holder = hold_by_inner_run();
    const pid_t inner = front_of(main_);
    orphan(*holder, {.pid = inner, .start_ticks = 0, .role = {}});
    const std::string who =
        "is held by run " + entry_named("inner").filename().string() + " inner (reapctl " + std::to_string(inner) + ")";
    const std::string why =
        "it was started inside of run " + entry_named("nightly").filename().string() + ", which took the lock";
    const Outcome skipped = contend({});
    EXPECT_EQ(skipped.code(), 0);
    EXPECT_EQ(skipped.out, "");
    EXPECT_THAT(skipped.err, AllOf(HasSubstr(who), HasSubstr(why)));
    EXPECT_EQ(contend({"--on-overlap", "fail"}).code(), 75);
    EXPECT_EQ(contend({"--on-overlap", "wait=50ms"}).report["result"], "overlap");
    EXPECT_TRUE(is_alive(main_));
    const auto next = contend_later({"--on-overlap", policy});
    if (policy == "wait") {
      EXPECT_TRUE(await([&] { return listens(next->pid()); }));
      EXPECT_TRUE(is_alive(main_));
      send_signal(inner, SIGTERM);
    }
    const Outcome outcome = next->wait();
    EXPECT_EQ(outcome.out, "ran\n") << outcome.err;
    EXPECT_FALSE(is_alive(main_));
    EXPECT_TRUE(nothing_on_record());
  }
}

TEST_F(Lock, IsFreeOnceTheRunsInsideOfTheHolderThatWereKilledAsItWasAreFinishedToo) {
  const auto holder = hold_by_inner_run();
  const pid_t inner = front_of(main_);
  orphan(*holder, {.pid = inner, .start_ticks = 0, .role = {}});
  kill_reapctl(inner, main_);
  const Outcome outcome = contend({});
  EXPECT_EQ(outcome.out, "ran\n") << outcome.err;
  EXPECT_FALSE(is_alive(main_));
  EXPECT_TRUE(nothing_on_record());
  EXPECT_TRUE(fs::is_empty(base_));
}

TEST_F(Lock, IsHeldWhileLeftoversOfTheCommandAreBeingStopped) {
  const auto holder = hold({"on=USR1:exit=0", "fork", "[", "setsid", "ignore=INT,TERM", "ready=deaf", "]"},
                           {"--ladder", "INT:60s,KILL"}, {"deaf"});
  holder->send(SIGUSR1);
  EXPECT_TRUE(await([&] { return !is_alive(main_); }));
  const Outcome outcome = contend({});
  EXPECT_EQ(outcome.report["result"], "overlap");
  send_signal(processes_.at("deaf").pid, SIGKILL);
  EXPECT_EQ(holder->wait().code(), 0);
  EXPECT_EQ(contend({}).out, "ran\n");
}

TEST_F(Lock, OneReapctlOfTheTwoHoldsItAsWell) {
  for (const bool supervisor : {true, false}) {
    const auto holder = hold({"on=INT:say=heard"}, {"--ladder", "INT:60s,KILL"});
    const pid_t victim = supervisor ? supervisor_of(main_) : holder->pid();
    send_signal(victim, SIGKILL);
    EXPECT_EQ(roster_.next().role, "heard") << "the other one is at its ladder";
    EXPECT_EQ(contend({}).report["result"], "overlap");
    send_signal(main_.pid, SIGKILL);
    (void)holder->wait();
    EXPECT_TRUE(await([&] { return contend({}).out == "ran\n"; }));
  }
}

TEST_F(Lock, TheCommandNeverHoldsIt) {
  const std::string script = "ls -l /proc/self/fd | grep -c locks/backup";
  EXPECT_EQ(contend({}, sh(script)).out, "0\n");
}

TEST_F(Lock, WhatWasReleasedHoldsItUntilItEndsAndIsNeverKilled) {
  Reapctl holder(
      {.args = {"run", "--report", "none", "--lock", "backup", "--leftovers", "leave", "--", misbehave_path(),
                "--ready", roster_.path(), "fork", "[", "setsid", "ready=daemon", "]", "exit=0"},
       .env = environment_,
       .leaves_processes = true});
  const Process daemon = roster_.await_roles({"daemon"}).at("daemon");
  EXPECT_EQ(holder.wait().code(), 0);
  EXPECT_EQ(contend({}).report["result"], "overlap");
  EXPECT_EQ(contend({"--on-overlap", "kill"}).code(), 125);
  EXPECT_TRUE(is_alive(daemon));
  send_signal(daemon.pid, SIGKILL);
  (void)kill_leftovers({});
  EXPECT_EQ(contend({}).out, "ran\n");
  EXPECT_TRUE(nothing_on_record());
}

TEST_F(Lock, ARunInsideOfTheHolderDoesNotWaitForItsOwnParent) {
  const std::string inner = reapctl_path() + " run --report none --lock backup --on-overlap ";
  const Outcome outcome =
      contend({"--report-args", "full"}, sh(inner + "skip -- echo no; echo $?; " + inner +
                                            "wait -- echo no; echo $?; " + inner + "kill -- echo no; echo $?"));
  EXPECT_EQ(outcome.out, "0\n125\n125\n");
  EXPECT_THAT(outcome.err, HasSubstr("this run was started inside of it"));
}

TEST_F(Lock, CanNotBeHadWithoutARegistryOrARecordAndThenNothingRuns) {
  std::ofstream(registry_) << "no directory";
  const Outcome none = contend({});
  EXPECT_EQ(none.code(), 125);
  EXPECT_EQ(none.out, "");
  EXPECT_THAT(none.err, HasSubstr("--lock: cannot use " + registry_ + " as a registry"));
  fs::remove(registry_);
  EXPECT_EQ(contend({}, sh("echo ran")).out, "ran\n");
  // As on a full disk no file can grow: the lock cannot be signed, or it can and no record be made.
  for (const auto& [limit, why] :
       {std::pair{"--fsize=0", "/locks/backup: "}, std::pair{"--fsize=17", "not on record"}}) {
    int err[2];  // a file could not take it
    ASSERT_EQ(::pipe2(err, O_CLOEXEC), 0);
    Launch launch{.args = {"run", "--report", "none", "--lock", "backup", "--", "echo", "ran"},
                  .wrapper = {"prlimit", limit},
                  .env = environment_,
                  .stderr_fd = err[1],
                  .ignored = {SIGXFSZ},
                  .leaves_processes = true};
    fs::remove(registry_ + "/locks/backup");
    const Outcome refused = run(std::move(launch));
    EXPECT_EQ(refused.code(), 125) << limit;
    EXPECT_EQ(refused.out, "");
    ::close(err[1]);
    char message[4096];
    const ssize_t length = ::read(err[0], message, sizeof message);
    ::close(err[0]);
    ASSERT_GT(length, 0);
    EXPECT_THAT(std::string(message, static_cast<std::size_t>(length)),
                AllOf(HasSubstr("run: --lock: "), HasSubstr(why)));
  }
}

TEST_F(Lock, AFormerHolderWhoseRecordCannotBeReadKeepsItLocked) {
  const auto holder = hold();
  const fs::path record = only_entry() / "record.json";
  const std::string text = read_file(record);
  orphan(*holder, main_);
  write_file(record, "{\"schema_version\":99}");
  const Outcome outcome = contend({});
  EXPECT_EQ(outcome.code(), 125);
  EXPECT_THAT(outcome.err, HasSubstr("has a record that cannot be read"));
  write_file(record, text);
  EXPECT_EQ(contend({}).out, "ran\n");
  EXPECT_FALSE(is_alive(main_));
}

TEST_F(Lock, AStopWhileItWaitsIsAnsweredAtOnceWithATrueReport) {
  const auto holder = hold();
  const auto waiting = contend_later({"--on-overlap", "wait"});
  EXPECT_TRUE(await([&] { return listens(waiting->pid()); }));
  waiting->send(SIGTERM);
  const Outcome outcome = waiting->wait();
  EXPECT_EQ(outcome.code(), 143);
  EXPECT_EQ(outcome.report["result"], "stopped");
  EXPECT_EQ(outcome.report["stop"]["cause"], "signal");
  EXPECT_EQ(outcome.report["stop"]["signal_name"], "TERM");
  EXPECT_EQ(outcome.report["stop"]["sender_pid"], ::getpid());
  EXPECT_TRUE(outcome.report["main"].is_null());
  EXPECT_TRUE(is_alive(main_));
  stop(*holder);
}

TEST_F(Lock, AStopWhileTheFormerHolderIsFinishedIsAnsweredAtOnce) {
  const auto holder = hold({"ignore=INT,TERM"});
  orphan(*holder, main_);
  const auto waiting = contend_later({});  // for 5 s, the ladder of a sweep
  EXPECT_TRUE(await([&] { return !children_of(waiting->pid()).empty(); }));
  waiting->send(SIGINT);
  const Outcome outcome = waiting->wait(std::chrono::seconds(3));
  EXPECT_EQ(outcome.code(), 130);
  EXPECT_EQ(outcome.report["result"], "stopped");
  EXPECT_EQ(sweep({"--ladder", "KILL"})["summary"]["killed"], 1);
}

TEST_F(Lock, ASurvivorKeepsItLockedWhoeverAsks) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to make a set-uid program";
  const Args nobody{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"};
  Args probe = nobody;
  probe.insert(probe.end(), {reapctl_path(), "--version"});
  if (quiet_status(probe) != 0) GTEST_SKIP() << "no setpriv, or another user can't get at the build directory";
  for (const fs::path& path : {directory_.path(), fs::path(roster_.path()).parent_path(), fs::path(roster_.path())}) {
    fs::permissions(path, fs::perms::all);
  }
  const std::string copy = directory_ / "set-uid";
  fs::copy_file(misbehave_path(), copy);
  fs::permissions(copy, fs::perms::set_uid | fs::perms::owner_all | fs::perms::group_exec | fs::perms::others_exec);
  const auto launch = [&](Args command) {
    Args args{"run",  "--contain", "subreaper",     "--no-workdir", "--report-format",
              "text", "--ladder",  "INT:50ms,KILL", "--lock",       "x",
              "--"};
    args.insert(args.end(), command.begin(), command.end());
    return Launch{.args = args, .wrapper = nobody, .env = environment_, .cwd = "/", .leaves_processes = true};
  };
  // Nobody may not signal a process whose real and saved uid are root's, kill(2).
  Reapctl holder(launch({copy, "--ready", roster_.path(), "become-effective-user", "ready=main"}));
  const Process main = roster_.await_roles({"main"}).at("main");
  holder.send(SIGTERM);
  EXPECT_EQ(holder.wait().code(), 125);
  const Outcome refused = run(launch({"echo", "ran"}));
  EXPECT_EQ(refused.code(), 125);
  EXPECT_EQ(refused.out, "");
  EXPECT_THAT(refused.err, AllOf(HasSubstr("run: --lock: its former holder, run "), HasSubstr("is not gone")));
  send_signal(main.pid, SIGKILL);
  EXPECT_TRUE(await_end(main.pid));
  (void)kill_leftovers({});
  EXPECT_EQ(run(launch({"echo", "ran"})).out, "ran\n");
}

}  // namespace
}  // namespace reapctl::test
