#include "support/process.hpp"
#include "support/sweep_fixture.hpp"

#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <string>
#include <sys/inotify.h>
#include <unistd.h>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

/// Sweeps where something is in the way: runs inside of each other, no descriptors.
namespace reapctl::test {
namespace {

namespace fs = std::filesystem;
using testing::IsEmpty;

class SweepHardship : public SweepFixture {};

TEST_F(SweepHardship, TheDirectoryInWhichAnActiveRunHasItsOwnStays) {
  std::string script = "exec '" + reapctl_path() + "' run --report none --name inner --";
  for (const std::string& word : misbehave(roster_, {"ready=inner"})) script += " '" + word + "'";
  auto outer = start("outer", {"fork", "[", "exec", "sh", "-c", script, "]"}, {"--workdir-use", "tmp"});
  const auto processes = roster_.await_roles({"outer", "inner"});
  orphan(*outer, processes.at("outer"));
  const fs::path workdir = fs::directory_iterator(base_)->path();
  ASSERT_FALSE(fs::is_empty(workdir)) << "the inner run has its directory there";
  (void)sweep({"--ladder", "KILL"});
  EXPECT_FALSE(is_alive(processes.at("outer")));
  EXPECT_FALSE(fs::is_empty(workdir));
  const auto again = sweep({});
  EXPECT_THAT(again["runs"], IsEmpty()) << "once is enough";
  EXPECT_EQ(sweep({again["skipped"][0]["run_id"]}, 4)["exit_code"], 4) << "who names it wants it gone";
  EXPECT_EQ(reapctl({"stop", "--name", "inner"}).code(), 0);
  (void)sweep({});
  EXPECT_TRUE(nothing_on_record());
  EXPECT_TRUE(fs::is_empty(base_));
}

/// Whose reapctl are killed in the middle of the exec, as of a program on a file server that does not answer. Here it
/// is a lease, fcntl(2), that keeps the kernel from opening the program.
TEST_F(SweepHardship, ACommandThatHangsInItsExecIsAnOrphanLikeAnyOther) {
  const std::string program = directory_ / "program";
  fs::copy_file(misbehave_path(), program);
  const int lease = ::open(program.c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_GE(lease, 0);
  if (::fcntl(lease, F_SETSIG, SIGURG) != 0 || ::fcntl(lease, F_SETLEASE, F_WRLCK) != 0) {
    ::close(lease);
    GTEST_SKIP() << "no leases on the files of " << directory_.path();
  }
  Reapctl hanging(
      {.args = {"run", "--contain", "subreaper", "--report", "none", "--workdir-base", base_, "--", program},
       .env = environment_,
       .leaves_processes = true});
  EXPECT_TRUE(await([lease] { return ::fcntl(lease, F_GETLEASE) != F_WRLCK; })) << "somebody wants to open it";
  const auto supervisors = children_of(hanging.pid());
  ASSERT_EQ(supervisors.size(), 1U);
  const auto mains = children_of(supervisors.front());
  ASSERT_EQ(mains.size(), 1U);
  const auto main = identify(mains.front());
  orphan(hanging, main.value());
  const auto report = sweep({"--ladder", "KILL"});
  EXPECT_FALSE(is_alive(*main));
  EXPECT_EQ(report["runs"].size(), 1U) << report;
  EXPECT_TRUE(nothing_on_record());
  EXPECT_TRUE(fs::is_empty(base_));
  ::close(lease);
}

/// The sweep has read the registry, and waits for the lock of another run, while inside of the one that it is to end a
/// new one begins.
TEST_F(SweepHardship, ARunThatBeginsInsideMeanwhileIsKnown) {
  Gate gate;
  std::string script = "exec '" + reapctl_path() + "' run --report none --name inner --no-workdir --";
  for (const std::string& word : misbehave(roster_, {"ready=inner"})) script += " '" + word + "'";
  auto other = start("other", {});
  orphan(*other, roster_.next());
  const std::string lock_path = only_entry() / "lock";
  const int lock = ::open(lock_path.c_str(), O_RDWR | O_CLOEXEC);
  struct flock whole {};
  whole.l_type = F_WRLCK;
  ASSERT_EQ(::fcntl(lock, F_OFD_SETLK, &whole), 0);
  auto outer = start("outer", {"fork", "[", "await=" + gate.path(), "exec", "sh", "-c", script, "]"});
  const Process main = roster_.next();
  orphan(*outer, main);
  const int watch = ::inotify_init1(IN_CLOEXEC);
  ASSERT_GE(::inotify_add_watch(watch, lock_path.c_str(), IN_OPEN), 0);
  Reapctl sweeping(
      Launch{.args = {"sweep", "--json", "--ladder", "KILL"}, .env = environment_, .leaves_processes = true});
  inotify_event event{};  // without a name, for it is the file that is watched
  for (int opened = 0; opened < 2; ++opened) ASSERT_EQ(::read(watch, &event, sizeof event), sizeof event);
  gate.open();
  const Process inner = roster_.next();
  ::close(lock);
  const Outcome outcome = sweeping.wait();
  ::close(watch);
  EXPECT_EQ(outcome.code(), 0) << outcome.out << outcome.err;
  EXPECT_FALSE(is_alive(main));
  EXPECT_TRUE(is_alive(inner));
  EXPECT_EQ(reapctl({"stop", "--name", "inner"}).code(), 0);
  (void)sweep({});
  EXPECT_TRUE(nothing_on_record());
}

TEST_F(SweepHardship, WhatCannotBeReadForWantOfDescriptorsIsNotNothing) {
  auto run = start("main", {"fork", "[", "ready=child", "]"});
  const auto processes = roster_.await_roles({"main", "child"});
  orphan(*run, processes.at("main"));
  for (const int limit : {4, 5, 6, 7, 10, 11, 12, 13, 14, 15}) {
    const Outcome outcome = test::run({.args = {"sweep", "--ladder", "KILL"},
                                       .wrapper = {"prlimit", "--nofile=" + std::to_string(limit)},
                                       .env = environment_,
                                       .leaves_processes = true});
    const bool alive = is_alive(processes.at("main")) || is_alive(processes.at("child"));
    EXPECT_EQ(outcome.code() == 0, !alive && nothing_on_record()) << limit << " " << outcome.out << outcome.err;
    EXPECT_FALSE(alive && nothing_on_record()) << limit;
  }
  (void)sweep({"--ladder", "KILL"});
}

}  // namespace
}  // namespace reapctl::test
