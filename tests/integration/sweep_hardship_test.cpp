#include "support/process.hpp"
#include "support/sweep_fixture.hpp"

#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <string>
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
