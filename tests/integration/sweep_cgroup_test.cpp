#include "support/cgroup.hpp"
#include "support/json_sink.hpp"
#include "support/process.hpp"
#include "support/reapctl.hpp"
#include "support/sweep_fixture.hpp"

#include <filesystem>
#include <string>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

/// A sweep of a run that had a cgroup: whom it finds by that, and what becomes of the cgroup.
namespace reapctl::test {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::HasSubstr;

class SweepOfCgroup : public SweepFixture {};

TEST_F(SweepOfCgroup, FindsWhoHasNeitherAncestorNorEnvironmentAndRemovesIt) {
  REQUIRE_CGROUP();
  auto run = start("main", {"double-fork", "[", "setsid", "env-clear", "ready=lost", "]"}, {"--contain", "cgroup"});
  const auto processes = roster_.await_roles({"lost", "main"});
  const std::string cgroup = cgroup_directory_of(processes.at("main").pid);
  fs::create_directory(cgroup + "/inner");
  orphan(*run, processes.at("main"));
  const std::string text = read_file(only_entry() / "record.json");
  keep_json("record", text.substr(0, text.find('\n')));
  const auto record = nlohmann::json::parse(text, nullptr, false);
  EXPECT_EQ(record["cgroup"]["path"], cgroup);
  EXPECT_THAT(reapctl({"sweep", "-n"}).out, HasSubstr("remove the cgroup " + cgroup));
  EXPECT_EQ(reapctl({"show", "--pid", std::to_string(processes.at("lost").pid)}).code(), 0);
  const auto report = sweep({"--ladder", "TERM:50ms,KILL"});
  for (const auto& victim : report["victims"]) {
    EXPECT_THAT(victim["identified_by"], Contains("cgroup")) << victim;
    const bool lost = victim["pid"] == processes.at("lost").pid;
    EXPECT_EQ(victim["identified_by"] == nlohmann::json({"cgroup"}), lost) << victim;
  }
  EXPECT_EQ(report["victims"].size(), 2U);
  EXPECT_EQ(report["removed"][0]["kind"], "cgroup");
  EXPECT_FALSE(is_alive(processes.at("lost")));
  EXPECT_FALSE(fs::exists(cgroup));
  EXPECT_TRUE(nothing_on_record());
}

TEST_F(SweepOfCgroup, ACgroupThatIsNotTheOneOnRecordIsLeftAlone) {
  REQUIRE_CGROUP();
  const Outsider outsider;
  auto run = start("main", {}, {"--contain", "cgroup"});
  const Process main = roster_.next();
  const std::string cgroup = cgroup_directory_of(main.pid);
  orphan(*run, main);
  const std::string record = only_entry() / "record.json";
  std::string text = read_file(record);
  const std::string inode = "\"inode\":" + std::to_string(nlohmann::json::parse(text)["cgroup"]["inode"].get<long>());
  ASSERT_NE(text.find(inode), std::string::npos);
  write_file(record, text.replace(text.find(inode), inode.size(), "\"inode\":1"));
  ASSERT_TRUE(enter_cgroup(cgroup, outsider.pid()));
  const auto report = sweep({"--ladder", "KILL"});
  EXPECT_FALSE(is_alive(main));
  EXPECT_TRUE(identify(outsider.pid()) && is_alive(*identify(outsider.pid())));
  EXPECT_THAT(report["skipped"].dump(), HasSubstr("is not the cgroup of the run"));
  EXPECT_TRUE(fs::exists(cgroup));
  ASSERT_TRUE(enter_cgroup(own_cgroup(), outsider.pid()));
  EXPECT_EQ(::rmdir(cgroup.c_str()), 0);
}

TEST_F(SweepOfCgroup, ASweepInsideOfTheCgroupIsNotItsOwnVictim) {
  REQUIRE_CGROUP();
  auto run = start("main", {"ignore=TERM"}, {"--contain", "cgroup"});
  const Process main = roster_.next();
  const std::string cgroup = cgroup_directory_of(main.pid);
  orphan(*run, main);
  const Outcome outcome = test::run({.args = {"sweep", "--json", "--ladder", "KILL"},
                                     .env = environment_,
                                     .leaves_processes = true,
                                     .before_exec = [&cgroup] {
                                       if (!enter_cgroup(cgroup, ::getpid())) ::_exit(96);
                                     }});
  EXPECT_EQ(outcome.code(), 4) << outcome.out << outcome.err;  // it cannot remove the cgroup that it is in
  EXPECT_FALSE(is_alive(main));
  EXPECT_TRUE(fs::exists(cgroup));
  (void)sweep({});
  EXPECT_FALSE(fs::exists(cgroup));
}

}  // namespace
}  // namespace reapctl::test
