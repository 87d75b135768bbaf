#include "support/cgroup.hpp"
#include "support/process.hpp"
#include "support/sweep_fixture.hpp"

#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace reapctl::test {
namespace {

class SweepAdopted : public SweepFixture {
 protected:
  [[nodiscard]] bool is_left_over_on_record(const Process& process) const {
    const std::string text = read_file(only_entry() / "record.json");
    const auto record = nlohmann::json::parse(text, nullptr, false);
    if (!record.contains("leftovers")) return false;  // it is being written
    keep_json("record", text.substr(0, text.find('\n')));
    const nlohmann::json id = {{"pid", process.pid}, {"start_ticks", process.start_ticks}};
    const auto& all = record["leftovers"];
    return std::find(all.begin(), all.end(), id) != all.end();
  }
};

TEST_F(SweepAdopted, ADaemonWithoutAnyMarkIsFoundWhenBothReapctlAndTheMainCommandAreDead) {
  auto run = start("main", {"env-clear", "double-fork", "[", "setsid", "ready=daemon", "]"});
  const auto processes = roster_.await_roles({"main", "daemon"});
  const Process& daemon = processes.at("daemon");
  EXPECT_TRUE(await([&] { return is_left_over_on_record(daemon); }));
  orphan(*run, processes.at("main"));
  send_signal(processes.at("main").pid, SIGKILL);
  EXPECT_TRUE(await([&] { return !is_alive(processes.at("main")); }));
  const auto report = sweep({"--ladder", "KILL"});
  EXPECT_FALSE(is_alive(daemon));
  ASSERT_EQ(report["victims"].size(), 1U);
  EXPECT_EQ(report["victims"][0]["pid"], daemon.pid);
  EXPECT_EQ(report["victims"][0]["identified_by"], nlohmann::json({"recorded"}));
  EXPECT_TRUE(nothing_on_record());
}

TEST_F(SweepAdopted, WhoIsAdoptedWhileOthersAreWaitedForIsOnRecordBesideThem) {
  // The main command ends; of those who live on, one starts a daemon when it is told to.
  Gate gate;
  auto run = start("main",
                   {"env-clear", "fork", "[", "ready=left", "await=" + gate.path(), "double-fork", "[", "setsid",
                    "ready=daemon", "]", "]", "exit=0"},
                   {"--leftovers", "wait"});
  const Process left = roster_.await_roles({"left"}).at("left");
  EXPECT_TRUE(await([&] { return is_left_over_on_record(left); }));
  const pid_t supervisor = supervisor_of(left);
  gate.open();
  const Process daemon = roster_.await_roles({"daemon"}).at("daemon");
  EXPECT_TRUE(await([&] { return is_left_over_on_record(daemon) && is_left_over_on_record(left); }));
  EXPECT_EQ(supervisor_of(daemon), supervisor);
  orphan(*run, daemon);
  (void)sweep({"--ladder", "KILL"});
  EXPECT_FALSE(is_alive(left));
  EXPECT_FALSE(is_alive(daemon));
  EXPECT_TRUE(nothing_on_record());
}

/// Of two deaths in a row the second finds the guard with a run that he has taken over.
TEST_F(SweepAdopted, WhatTheDeadSupervisorPutOnRecordStaysThereWhenTheGuardTakesOver) {
  auto run =
      start("main", {"env-clear", "on=TERM:say=told", "double-fork", "[", "setsid", "ignore=TERM", "ready=daemon", "]"},
            {"--ladder", "TERM:1h,KILL"});
  const auto processes = roster_.await_roles({"main", "daemon"});
  const Process& main = processes.at("main");
  const Process& daemon = processes.at("daemon");
  EXPECT_TRUE(await([&] { return is_left_over_on_record(daemon); }));
  write_file(base_ + "/reapctl-" + only_entry().filename().string() + "/file", "x");
  send_signal(supervisor_of(main), SIGKILL);
  EXPECT_EQ(roster_.next().role, "told");
  run->send(SIGKILL);
  EXPECT_EQ(run->wait().killed_by(), SIGKILL);
  send_signal(main.pid, SIGKILL);
  EXPECT_TRUE(await([&] { return !is_alive(main); }));
  (void)sweep({"--ladder", "KILL"});
  EXPECT_FALSE(is_alive(daemon));
  EXPECT_TRUE(std::filesystem::is_empty(base_)) << "the record has lost what makes the work directory ours";
  EXPECT_TRUE(nothing_on_record());
}

TEST_F(SweepAdopted, SoDoesTheCgroup) {
  REQUIRE_CGROUP();
  auto run = start("main", {"on=TERM:say=told"}, {"--contain", "cgroup", "--ladder", "TERM:1h,KILL"});
  const Process main = roster_.next();
  const std::string cgroup = own_cgroup() + "/reapctl-" + only_entry().filename().string();
  EXPECT_TRUE(std::filesystem::create_directory(cgroup + "/inner"));
  send_signal(supervisor_of(main), SIGKILL);
  EXPECT_EQ(roster_.next().role, "told");
  run->send(SIGKILL);
  EXPECT_EQ(run->wait().killed_by(), SIGKILL);
  (void)sweep({"--ladder", "KILL"});
  EXPECT_FALSE(is_alive(main));
  EXPECT_FALSE(std::filesystem::exists(cgroup));
  EXPECT_TRUE(nothing_on_record());
}

}  // namespace
}  // namespace reapctl::test
