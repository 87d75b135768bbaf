#include "support/process.hpp"
#include "support/reapctl.hpp"
#include "support/sweep_fixture.hpp"
#include "support/terminal.hpp"

#include <csignal>
#include <filesystem>
#include <memory>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace reapctl::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::IsEmpty;

/// Whom a sweep chooses, and whom it must not.
class SweepChoice : public SweepFixture {
 protected:
  /// A process that no reapctl has started, with an environment of its own.
  Process stray(const std::string& role, const std::string& assignment, Args steps = {}) {
    steps.push_back("ready=" + role);
    Args words = misbehave(roster_, steps);
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    std::string mark = assignment;
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::setsid();
      ::putenv(mark.data());
      ::execv(argv[0], argv.data());
      ::_exit(98);
    }
    return roster_.await_roles({role}).at(role);
  }
};

TEST_F(SweepChoice, AnActiveRunOfAnotherRegistryInsideOfAnOrphanLives) {
  for (const bool cleared : {false, true}) {
    const std::string role = cleared ? "cleared" : "plain";
    std::string script = "exec '" + reapctl_path() + "' run --report none --registry '" + (directory_ / "other") +
                         "' --workdir-base '" + base_ + "' --ladder KILL --" + (cleared ? " env -i" : "");
    for (const std::string& word : misbehave(roster_, {"ready=inner-" + role})) script += " '" + word + "'";
    auto outer = start("outer-" + role, {"fork", "[", "exec", "sh", "-c", script, "]"});
    const auto processes = roster_.await_roles({"outer-" + role, "inner-" + role});
    const Process& inner = processes.at("inner-" + role);
    const pid_t supervisor = supervisor_of(inner);
    orphan(*outer, processes.at("outer-" + role));
    const auto report = sweep({"--ladder", "KILL"}, 4);
    EXPECT_FALSE(is_alive(processes.at("outer-" + role)));
    EXPECT_TRUE(is_alive(inner)) << role;
    EXPECT_EQ(supervisor_of(inner), supervisor) << role;
    EXPECT_THAT(report["runs"][0]["reason"].dump(), HasSubstr("could not be judged"));
    EXPECT_EQ(reapctl({"stop", "--registry", directory_ / "other", "--name", cleared ? "env" : "misbehave"}).code(), 0);
    EXPECT_FALSE(is_alive(inner));
    (void)sweep({"--ladder", "KILL"});
    EXPECT_TRUE(nothing_on_record());
  }
}

TEST_F(SweepChoice, MatchingSparesAnActiveRunOfAnotherRegistry) {
  environment_["MARK"] = directory_.path();
  auto run = start("main", {}, {"--registry", directory_ / "other"});
  const Process main = roster_.next();
  const auto report = sweep({"-y", "--ladder", "KILL", "--match-env", "MARK=" + directory_.path().string()}, 4);
  EXPECT_THAT(report["victims"], IsEmpty());
  EXPECT_TRUE(is_alive(main));
  run->send(SIGTERM);
  EXPECT_NE(run->wait().killed_by(), SIGKILL);
}

TEST_F(SweepChoice, ALeftoverOfAReleasedRunKeepsItWithoutAnyMark) {
  auto run =
      start("main", {"double-fork", "[", "setsid", "env-clear", "ready=left", "]", "exit=0"}, {"--leftovers", "leave"});
  const Process left = roster_.await_roles({"left"}).at("left");
  EXPECT_EQ(run->wait().code(), 0);
  (void)sweep({});
  EXPECT_FALSE(nothing_on_record());
  EXPECT_FALSE(fs::is_empty(base_));
  EXPECT_TRUE(is_alive(left));
  const std::string id = only_entry().filename();
  EXPECT_EQ(sweep({id}, 4)["exit_code"], 4) << "who names it wants it gone";
  send_signal(left.pid, SIGKILL);
  EXPECT_TRUE(await_end(left.pid));
  (void)sweep({});
  EXPECT_TRUE(nothing_on_record());
}

TEST_F(SweepChoice, KillsWhomSomebodyHasAgreedToAndNobodyElse) {
  const std::string mark = "MARK=" + directory_.path().string();
  const Process shown = stray("shown", mark);
  Terminal terminal({reapctl_path(), "sweep", "--match-env", mark, "--ladder", "KILL"}, environment_);
  terminal.expect("[y/N]");
  const Process late = stray("late", mark);
  terminal.type("y\n");
  EXPECT_EQ(WEXITSTATUS(terminal.wait_for_end()), 0) << terminal.screen();
  EXPECT_FALSE(is_alive(shown));
  EXPECT_TRUE(is_alive(late));
  send_signal(late.pid, SIGKILL);
}

TEST_F(SweepChoice, AsksNobodyAboutNothing) {
  const auto report = sweep({"--match-env", "MARK=" + directory_.path().string()});
  EXPECT_FALSE(report["dry_run"]);
  EXPECT_THAT(report["victims"], IsEmpty());
}

TEST_F(SweepChoice, FindsALongDirectoryAndADeletedFile) {
  const std::string deep = directory_ / std::string(200, 'a') + "/" + std::string(200, 'b');
  fs::create_directories(deep);
  const std::string program = directory_ / "program";
  fs::copy_file("/bin/sleep", program);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::setsid();
    if (::chdir(deep.c_str()) == 0) ::execl(program.c_str(), "program", "1000", nullptr);
    ::_exit(98);
  }
  EXPECT_TRUE(await([&] { return fs::read_symlink("/proc/" + std::to_string(pid) + "/exe") == program; }));
  EXPECT_EQ(sweep({"-n", "--match-cwd", deep})["victims"].size(), 1U);
  fs::remove(program);
  EXPECT_EQ(sweep({"-n", "--match-exe", program})["victims"].size(), 1U);
  write_file(program, "another");
  EXPECT_EQ(sweep({"-y", "--match-exe", program, "--ladder", "KILL"})["summary"]["killed"], 1);
}

TEST_F(SweepChoice, RefusesWhatEverybodyHas) {
  environment_["HOME"] = directory_.path();
  EXPECT_EQ(reapctl({"sweep", "-n", "--match-cwd", directory_.path()}).code(), 125);
  EXPECT_EQ(reapctl({"sweep", "-n", "--match-env", "PATH=/bin"}).code(), 125);
  EXPECT_EQ(reapctl({"sweep", "-n", "--match-env", "HOME=/root", "--match-user", "0"}).code(), 125);
  EXPECT_EQ(reapctl({"sweep", "-n", "--match-env", "HOME=/root", "--match-env", "NO=BODY"}).code(), 0);
}

TEST_F(SweepChoice, TheNameOfAProgramIsNoPath) {
  const Outcome outcome = reapctl({"sweep", "-n", "--match-exe", "no-such-program"});
  EXPECT_EQ(outcome.code(), 125);
  EXPECT_THAT(outcome.err, HasSubstr("--match-exe \"no-such-program\": no such file here: expected a path"));
  EXPECT_EQ(reapctl({"sweep", "-n", "--match-exe", "./no-such-program"}).code(), 0) << "it may be deleted";
}

TEST_F(SweepChoice, ARunIsNamedForCertainOrNotAtAll) {
  for (const char* id : {"00112233445566AA", "00112233445566AB"}) fs::create_directories(registry_ + "/" + id);
  fs::permissions(registry_, fs::perms::owner_all);
  const Outcome ambiguous = reapctl({"sweep", "001122"});
  EXPECT_EQ(ambiguous.code(), 125);
  EXPECT_THAT(ambiguous.err, HasSubstr("more than one run"));
  EXPECT_EQ(reapctl({"sweep", "FFFF"}).code(), 125);
  EXPECT_EQ(sweep({"00112233445566ab"})["removed"].size(), 1U);
  EXPECT_FALSE(nothing_on_record());
}

TEST_F(SweepChoice, WouldStopIsSomethingFound) {
  auto run = start("main", {});
  (void)roster_.next();
  const auto report = sweep({"-n", "--include-active", "--fail-if-found"}, 3);
  EXPECT_THAT(report["runs"][0]["reason"].dump(), HasSubstr("would be stopped"));
  EXPECT_THAT(reapctl({"sweep", "-n", "--include-active"}).out, HasSubstr("Would stop 1 active run."));
  run->send(SIGTERM);
  (void)run->wait();
}

}  // namespace
}  // namespace reapctl::test
