#include "support/namespace.hpp"
#include "support/reapctl.hpp"
#include "support/strace.hpp"
#include "support/sweep_fixture.hpp"

#include <cstdio>
#include <filesystem>
#include <sstream>
#include <string>
#include <unistd.h>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

/// Many records, a huge one, and what a sweep costs: counted in system calls, for time depends on the machine.
namespace reapctl::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class SweepScale : public SweepFixture {
 protected:
  /// Copies of the one record under ids of their own: runs whose reapctl is dead, and of which nothing is left.
  void copy_record(int count) {
    const fs::path entry = only_entry();
    auto record = nlohmann::json::parse(read_file(entry / "record.json"));
    record["main"] = record["workdir"] = nullptr;
    for (int i = 0; i < count; ++i) {
      char id[17];
      std::snprintf(id, sizeof id, "%016X", i);
      const fs::path copy = entry.parent_path() / id;
      fs::create_directory(copy);
      fs::permissions(copy, fs::perms::owner_all);
      record["run_id"] = id;
      write_file(copy / "lock", "");
      write_file(copy / "record.json", record.dump());
    }
  }
};

TEST_F(SweepScale, ARecordOfAHundredMegabytesIsRefusedAndHoldsUpNobody) {
  auto one = start("one", {});
  orphan(*one, roster_.next());
  const fs::path huge = only_entry() / "record.json";
  const std::string good = read_file(huge);
  // Valid to its end, where the last one of a hundred million spaces stands.
  std::string text = good.substr(0, good.rfind('}') + 1);
  text.resize(std::size_t{100} << 20U, ' ');
  write_file(huge, text);
  auto two = start("two", {});
  const Process second = roster_.next();
  orphan(*two, second);
  const auto report = sweep({"--ladder", "KILL"}, 4);
  EXPECT_FALSE(is_alive(second));
  EXPECT_EQ(report["runs"].size(), 1U);
  ASSERT_EQ(report["skipped"].size(), 1U) << report["skipped"];
  EXPECT_THAT(report["skipped"][0]["reason"].get<std::string>(), HasSubstr("File too large"));
  EXPECT_EQ(fs::file_size(huge), text.size()) << "nothing that cannot be read is deleted";
  EXPECT_THAT(reapctl({"list"}).out, HasSubstr("File too large"));
  write_file(huge, good);
  (void)sweep({"--ladder", "KILL"});
  EXPECT_TRUE(nothing_on_record());
}

TEST_F(SweepScale, ThousandsOfRecordsGoInOneSweepAndTheActiveRunStays) {
  auto dead = start("dead", {});
  const Process orphaned = roster_.next();
  orphan(*dead, orphaned);
  constexpr int kCopies = 3000;
  copy_record(kCopies);
  auto run = start("active", {});
  const Process active = roster_.next();
  EXPECT_EQ(nlohmann::json::parse(reapctl({"list", "--json"}).out)["runs"].size(), kCopies + 2U);
  // Where few descriptors may be open, a sweep deals with some and says so.
  int swept = 0;
  for (int sweeps = 0; swept < kCopies + 1 && sweeps < 40; ++sweeps) {
    Reapctl sweep({.args = {"sweep", "--json", "--ladder", "KILL"}, .env = environment_, .leaves_processes = true});
    const Outcome outcome = sweep.wait(5 * kPatience);  // three thousand directories: a busy disk decides
    const auto report = nlohmann::json::parse(outcome.out);
    EXPECT_THAT(report["runs"].size(), testing::Gt(0U));
    swept += static_cast<int>(report["runs"].size());
    EXPECT_EQ(outcome.code(), swept < kCopies + 1 ? 4 : 0) << outcome.err;
  }
  EXPECT_EQ(swept, kCopies + 1);
  EXPECT_FALSE(is_alive(orphaned));
  EXPECT_TRUE(is_alive(active));
  run->send(SIGTERM);
  (void)run->wait();
  EXPECT_TRUE(nothing_on_record());
}

TEST_F(SweepScale, CostsAFewSystemCallsForEachProcessAndForEachRecord) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root for a mount namespace";
  REQUIRE_PID_NAMESPACE();
  REQUIRE_STRACE();
  // Bystanders are younger than the orphan: those that are older cannot be its, and are not looked into.
  constexpr char kScript[] = R"sh(
    mount -t tmpfs tmpfs /run || exit 99
    export REAPCTL_REGISTRY=/run/registry
    pid_of() { sed 's/.*"'$1'":{"pid":\([0-9]*\).*/\1/' "$record"; }
    alive() { [ -e /proc/$1/stat ] && ! grep -q '^State:.Z' /proc/$1/status; }
    make_orphan() {
      setsid "$reapctl" run --contain subreaper --report none --no-workdir -- sleep 1000 &
      until grep -q '"origin":{' /run/registry/*/record.json 2>/dev/null; do :; done
      record=$(echo /run/registry/*/record.json)
      supervisor=$(pid_of supervisor) guard=$(pid_of guard) main=$(pid_of main)
      kill -STOP $guard; kill -KILL $supervisor; while alive $supervisor; do :; done
      kill -KILL $guard; while alive $guard; do :; done
    }
    more_bystanders() { for i in $(seq $1); do sleep 1000 & done; }
    count_sweep() {
      strace -f -c -o /run/trace "$reapctl" sweep --ladder KILL >/run/out || cat /run/out
      alive $main && echo "alive"
      ls /run/registry
      awk '$NF == "total" { print $4 }' /run/trace
    }
    make_orphan; more_bystanders 50; count_sweep
    make_orphan; more_bystanders 250; count_sweep
    make_orphan; more_bystanders 250
    id=$(basename "$(dirname "$record")")
    for i in $(seq 1000000000000000 1000000000000049); do
      mkdir -m 700 /run/registry/$i; : > /run/registry/$i/lock
      sed "s/$id/$i/; s/\"main\":{[^}]*}/\"main\":null/" "$record" > /run/registry/$i/record.json
    done
    count_sweep
  )sh";
  const Outcome outcome = run({.args = {},
                               .wrapper = {"unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
                                           "sh", "-c", "reapctl=$0; " + std::string(kScript)},
                               .leaves_processes = true});
  std::istringstream numbers(outcome.out);
  int few = 0;
  int many = 0;
  int with_records = 0;
  ASSERT_TRUE(numbers >> few >> many >> with_records) << outcome.out << outcome.err;
  // Two looks at each: three calls for its stat, and three once for the environment. The first 50 are too old for the
  // second sweep, and the next 250 for the third, which have three calls less.
  EXPECT_LE(many - few, 250 * 9 + 50);
  EXPECT_GE(many - few, 250 * 6) << "nothing was looked at";
  EXPECT_LE(with_records - many, 250 * 6 + 50 * 80) << "records times processes";
}

}  // namespace
}  // namespace reapctl::test
