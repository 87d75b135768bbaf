#include "support/reapctl.hpp"
#include "support/sweep_fixture.hpp"

#include <csignal>
#include <filesystem>
#include <string>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

/// What a sweep deletes besides work directories, and what it writes.
namespace reapctl::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::IsSupersetOf;

class SweepLeftovers : public SweepFixture {};

std::vector<std::string> reasons(const nlohmann::json& skipped) {
  std::vector<std::string> all;
  for (const auto& each : skipped) all.push_back(each["reason"]);
  return all;
}

TEST_F(SweepLeftovers, APathThatAnActiveRunNamesOrSomebodyHasBoundStays) {
  const std::string shared = directory_ / "shared";
  const std::string bound = directory_ / "bound";
  const std::string stale = directory_ / "stale";
  auto old = start("old", {}, {"--remove", shared, "--remove", bound, "--remove", stale});
  const Process main = roster_.next();
  auto next = start("next", {}, {"--remove", shared});
  (void)roster_.next();
  orphan(*old, main);
  write_file(shared, "");
  const auto bind_at = [](const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0) << path;
    return fd;
  };
  const int listener = bind_at(bound);
  ::close(bind_at(stale));
  EXPECT_EQ(sweep({"-n"})["runs"][0]["remove"], nlohmann::json({stale}));
  const auto report = sweep({"--ladder", "KILL"});
  EXPECT_TRUE(fs::exists(shared));
  EXPECT_TRUE(fs::exists(bound));
  EXPECT_FALSE(fs::exists(stale));
  EXPECT_THAT(reasons(report["skipped"]),
              IsSupersetOf({HasSubstr("named by another run"), HasSubstr("socket in use")}));
  ::close(listener);
  next->send(SIGTERM);
  (void)next->wait();
  EXPECT_FALSE(fs::exists(shared));
}

TEST_F(SweepLeftovers, AStepSummaryIsNotWaitedForAndADryRunWritesNone) {
  auto run = start("main", {});
  orphan(*run, roster_.next());
  environment_["GITHUB_STEP_SUMMARY"] = directory_ / "summary";
  (void)reapctl({"sweep", "-n", "--format", "github"});
  EXPECT_FALSE(fs::exists(directory_ / "summary"));
  ASSERT_EQ(::mkfifo((directory_ / "summary").c_str(), 0600), 0);
  const Outcome outcome = reapctl({"sweep", "--format", "github", "--ladder", "KILL"});
  EXPECT_EQ(outcome.code(), 0);
  EXPECT_THAT(outcome.err, HasSubstr("ignoring"));
}

TEST_F(SweepLeftovers, AnotherDirectoryInThePlaceOfTheWorkDirectoryStays) {
  auto run = start("main", {});
  orphan(*run, roster_.next());
  const fs::path workdir = fs::directory_iterator(base_)->path();
  fs::remove_all(workdir);
  fs::create_directory(workdir);
  write_file(workdir / "file", "x");
  (void)sweep({"--ladder", "KILL"});
  EXPECT_TRUE(fs::exists(workdir / "file"));
  EXPECT_TRUE(nothing_on_record());
}

}  // namespace
}  // namespace reapctl::test
