#include "support/process.hpp"
#include "support/reapctl.hpp"
#include "support/strace.hpp"
#include "support/sweep_fixture.hpp"

#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <string>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

/// What a sweep makes of records that are torn, forged, of another time, or missing.
namespace reapctl::test {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsSupersetOf;

class SweepRecords : public SweepFixture {};

TEST_F(SweepRecords, APidThatWasGivenToSomebodyElseIsNotKilled) {
  auto run = start("main", {});
  const Process main = roster_.next();
  orphan(*run, main);
  // The record of a run whose main command is long dead: its pid is that of another process now, this one.
  auto bystander = start("bystander", {}, {"--registry", directory_ / "elsewhere"});
  const Process stranger = roster_.next();
  auto record = nlohmann::json::parse(read_file(only_entry() / "record.json"));
  record["main"]["pid"] = stranger.pid;
  // Both may have begun in the same tick of the clock; a pid is not reused that fast.
  record["main"]["start_ticks"] = record["main"]["start_ticks"].get<std::uint64_t>() - 1;
  write_file(only_entry() / "record.json", record.dump());
  const auto report = sweep({"--ladder", "KILL"});
  EXPECT_TRUE(is_alive(stranger));
  EXPECT_FALSE(is_alive(main)) << "found by its cookie";
  EXPECT_EQ(report["victims"].size(), 1U);
  bystander->send(SIGTERM);
  (void)bystander->wait();
}

/// As when both reapctl were killed in the middle of taking the run off the record, and have not quite ended.
TEST_F(SweepRecords, WhatIsLeftOfAnEndIsWaitedForUntilNobodyHoldsIt) {
  const fs::path entry = fs::path(registry_) / "0123456789ABCDEF";
  for (const fs::path& directory : {fs::path(registry_), entry}) {
    fs::create_directory(directory);
    fs::permissions(directory, fs::perms::owner_all);
  }
  const std::string file = entry / "lock";
  const int lock = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  struct flock whole {};
  whole.l_type = F_WRLCK;
  ASSERT_EQ(::fcntl(lock, F_OFD_SETLK, &whole), 0);
  const int watch = ::inotify_init1(IN_CLOEXEC);
  ASSERT_GE(::inotify_add_watch(watch, file.c_str(), IN_CLOSE), 0);
  Reapctl sweep({.args = {"sweep"}, .env = environment_});
  inotify_event event{};
  EXPECT_GT(::read(watch, &event, sizeof event), 0) << "it has found the lock held";
  ::close(watch);
  ::close(lock);
  EXPECT_EQ(sweep.wait().code(), 0);
  EXPECT_TRUE(nothing_on_record());
}

TEST_F(SweepRecords, AGuardThatHasLetGoOfTheLockIsWaitedFor) {
  REQUIRE_STRACE();
  // The last thing it does. Its run stays on record.
  Args options{"run", "--contain", "subreaper", "--report", "none", "--no-workdir", "--leftovers", "leave", "--"};
  for (std::string& word : misbehave(roster_, {"fork", "[", "ready=child", "]", "exit=0"})) options.push_back(word);
  Reapctl run({.args = options,
               .wrapper = strace(directory_ / "trace",
                                 {"-e", "trace=exit_group", "-e", "inject=exit_group:delay_enter=300000"}),
               .env = environment_,
               .leaves_processes = true});
  const auto processes = roster_.await_roles({"child"});
  EXPECT_TRUE(await([this] {
    const int lock = ::open((only_entry() / "lock").c_str(), O_RDWR | O_CLOEXEC);
    struct flock whole {};
    whole.l_type = F_WRLCK;
    const bool free = lock >= 0 && ::fcntl(lock, F_OFD_GETLK, &whole) == 0 && whole.l_type == F_UNLCK;
    ::close(lock);
    return free;
  }));
  EXPECT_FALSE(sweep({})["skipped"].empty());
  EXPECT_TRUE(is_alive(processes.at("child"))) << "it was released";
  EXPECT_EQ(run.wait().code(), 0);
  send_signal(processes.at("child").pid, SIGKILL);
}

TEST_F(SweepRecords, ARecordThatCannotBeReadIsLeftAloneAndSaid) {
  auto run = start("main", {});
  const Process main = roster_.next();
  orphan(*run, main);
  const std::string record = only_entry() / "record.json";
  const std::string good = read_file(record);
  write_file(record, good.substr(0, 100));
  EXPECT_THAT(strings(sweep({}, 4)["skipped"], "reason"), ElementsAre(HasSubstr("torn")));
  auto newer = nlohmann::json::parse(good);
  newer["schema_version"] = 99;
  write_file(record, newer.dump());
  EXPECT_THAT(strings(sweep({}, 4)["skipped"], "reason"), ElementsAre(HasSubstr("schema version 99")));
  auto foreign = nlohmann::json::parse(good);
  foreign["pid_namespace"] = 1;
  write_file(record, foreign.dump());
  EXPECT_THAT(strings(sweep({})["skipped"], "verdict"), ElementsAre("foreign"));
  EXPECT_TRUE(is_alive(main));
  EXPECT_TRUE(fs::exists(record));
  auto of_yesterday = nlohmann::json::parse(good);
  of_yesterday["boot_id"] = "another";
  write_file(record, of_yesterday.dump());
  const auto report = sweep({});
  EXPECT_EQ(report["runs"][0]["verdict"], "gone");
  EXPECT_TRUE(is_alive(main)) << "its pid means nothing in this boot";
  EXPECT_TRUE(nothing_on_record());
  EXPECT_TRUE(fs::is_empty(base_));
  send_signal(main.pid, SIGKILL);
}

TEST_F(SweepRecords, AForgedRecordDeletesNothingThatIsNotTheRuns) {
  auto run = start("main", {}, {"--remove", directory_ / "gone/file"});
  const Process main = roster_.next();
  orphan(*run, main);
  const std::string precious = directory_ / "precious";
  fs::create_directory(precious);
  write_file(precious + "/file", "x");
  struct stat status {};
  ASSERT_EQ(::stat(precious.c_str(), &status), 0);
  auto record = nlohmann::json::parse(read_file(only_entry() / "record.json"));
  record["workdir"]["path"] = precious;
  record["workdir"]["identity"]["inode"] = status.st_ino;
  record["remove"] = {{{"path", precious + "/file"}, {"parent_device", 1}, {"parent_inode", 2}}};
  write_file(only_entry() / "record.json", record.dump());
  const auto report = sweep({"--ladder", "KILL"});
  EXPECT_TRUE(fs::exists(precious + "/file"));
  EXPECT_THAT(strings(report["skipped"], "reason"), IsSupersetOf({HasSubstr("not named after the run")}));
}

TEST_F(SweepRecords, AStartThatWasCutShortLeavesADirectoryThatGoes) {
  fs::create_directories(registry_ + "/00112233445566AA");
  fs::permissions(registry_, fs::perms::owner_all);
  fs::create_directory(registry_ + "/00112233445566AB");
  write_file(registry_ + "/00112233445566AB/lock", "");
  EXPECT_THAT(strings(sweep({})["removed"], "kind"), ElementsAre("record", "record"));
  EXPECT_TRUE(nothing_on_record());
}

TEST_F(SweepRecords, ARunThatCannotBeRegisteredWarnsAndRuns) {
  fs::create_directory_symlink("/", registry_);
  Launch launch = run_of({"--workdir-base", base_}, {"true"});
  launch.env = environment_;
  const Outcome outcome = run(std::move(launch));
  EXPECT_EQ(outcome.code(), 0);
  EXPECT_THAT(outcome.report["warnings"].dump(), HasSubstr("not on record"));
  EXPECT_EQ(reapctl({"sweep"}).code(), 125);
  EXPECT_EQ(reapctl({"list"}).code(), 125);
}

}  // namespace
}  // namespace reapctl::test
