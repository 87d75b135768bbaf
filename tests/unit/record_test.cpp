#include "report/record_json.hpp"
#include "support/json_sink.hpp"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace reapctl::report {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

core::RunRecord sample() {
  core::RunRecord record;
  record.run_id = "00112233445566AA";
  record.enclosing = {"FFFFFFFFFFFFFFFF"};
  record.name = "pytest";
  record.argv = {"pytest", R"("state":"starting","main":"####)", "\xff"};
  record.uid = 1000;
  record.boot_id = "c0ffee";
  record.pid_namespace = 4026531836;
  record.mount_namespace = 4026531841;
  record.guard = core::ProcessId{.pid = 10, .start_ticks = 11};
  record.supervisor = {.pid = 12, .start_ticks = 13};
  record.leftovers = {{.pid = 30, .start_ticks = 31}};
  record.stop_signal = 15;
  record.cgroup = core::CgroupOnRecord{.path = "/sys/fs/cgroup/reapctl-00112233445566AA", .inode = 4294967299};
  record.workdir = core::WorkdirOnRecord{
      .path = "/tmp/\xfe/x", .keep = true, .identity = {{.device = 1, .inode = 2, .birth_time_ns = 3, .owner = 1000}}};
  record.remove = {{.path = "/run/x.sock", .parent_device = 5, .parent_inode = 6}};
  record.lock_name = "backup";
  record.ladder = *core::parse_ladder("INT/TERM:5s,KILL");
  record.started_at = core::WallTime(std::chrono::milliseconds(1'795'248'000'123));
  return record;
}

core::Origin origin() {
  return {
      .ppid = 7, .comm = "cron", .argv = {"cron", "-f"}, .user = "root", .tty = {}, .unit = "cron.service", .ci = {}};
}

TEST(RecordJson, ComesBackAsItWas) {
  core::RunRecord record = sample();
  record.state = core::RecordState::running;
  record.main = core::MainOnRecord{.id = {.pid = 20, .start_ticks = 21}, .pgid = 22, .sid = 23};
  record.origin = origin();
  const std::string text = record_codec().encode(record).text;
  test::keep_json("record", text.substr(0, text.size() - 1));
  const auto back = record_codec().decode(text);
  ASSERT_TRUE(back) << back.error().message();
  EXPECT_EQ(back->run_id, record.run_id);
  EXPECT_THAT(back->enclosing, ElementsAre("FFFFFFFFFFFFFFFF"));
  EXPECT_EQ(back->guard, record.guard);
  EXPECT_EQ(back->supervisor, record.supervisor);
  ASSERT_TRUE(back->main);
  EXPECT_EQ(back->main->id, record.main->id);
  EXPECT_EQ(back->main->sid, 23);
  EXPECT_EQ(back->leftovers, record.leftovers);
  ASSERT_TRUE(back->cgroup);
  EXPECT_EQ(back->cgroup->path, record.cgroup->path);
  EXPECT_EQ(back->cgroup->inode, 4294967299U);
  EXPECT_EQ(back->workdir->path, "/tmp/\xfe/x");
  EXPECT_EQ(back->workdir->identity->birth_time_ns, 3);
  EXPECT_TRUE(back->workdir->keep);
  EXPECT_EQ(back->remove.at(0).parent_inode, 6U);
  EXPECT_EQ(back->ladder, record.ladder);
  EXPECT_EQ(back->origin->unit, "cron.service");
  EXPECT_EQ(back->started_at, record.started_at);
  EXPECT_EQ(back->state, core::RecordState::running);
}

TEST(RecordJson, TheNewProcessWritesItselfDownInPlace) {
  const core::EncodedRecord encoded = record_codec().encode(sample());
  test::keep_json("record", encoded.text.substr(0, encoded.text.size() - 1));
  const auto before = record_codec().decode(encoded.text);
  ASSERT_TRUE(before) << before.error().message();
  EXPECT_FALSE(before->main);
  EXPECT_EQ(before->state, core::RecordState::starting);

  constexpr auto kMost = 2'147'483'647;
  const core::MainOnRecord longest{
      .id = {.pid = kMost, .start_ticks = 18'446'744'073'709'551'615U}, .pgid = kMost, .sid = kMost};
  std::string text = encoded.text;
  record_codec().fill_main(std::span(text).subspan(encoded.main_offset, encoded.main_size), longest);
  test::keep_json("record", text.substr(0, text.size() - 1));
  const auto after = record_codec().decode(text);
  ASSERT_TRUE(after) << after.error().message() << text;
  EXPECT_EQ(after->main->id, longest.id);
  EXPECT_EQ(after->main->sid, kMost);
  EXPECT_EQ(after->state, core::RecordState::running);
  EXPECT_EQ(after->stop_signal, 15);
}

TEST(RecordJson, EveryCutOffRecordIsRefused) {
  const std::string text = record_codec().encode(sample()).text;
  for (std::size_t length = 0; length + 2 < text.size(); ++length) {
    EXPECT_FALSE(record_codec().decode(std::string_view(text).substr(0, length))) << length;
  }
}

TEST(RecordJson, EveryKeyWithAnotherTypeIsRefusedOrHarmless) {
  const auto good = nlohmann::json::parse(record_codec().encode(sample()).text);
  for (const auto& [key, value] : good.items()) {
    for (const char* wrong : {"null", "-1", "1e99", "\"x\"", "[]", "{}", "[[1]]", "18446744073709551615", "true"}) {
      nlohmann::json bad = good;
      bad[key] = nlohmann::json::parse(wrong);
      const auto record = record_codec().decode(bad.dump());
      if (record) {
        EXPECT_GT(record->supervisor.pid, 0);
      }
    }
    nlohmann::json missing = good;
    missing.erase(key);
    EXPECT_FALSE(record_codec().decode(missing.dump())) << key;
  }
}

TEST(RecordJson, APidThatWouldMeanEverybodyIsRefused) {
  for (const int pid : {0, -1, -7}) {
    auto bad = nlohmann::json::parse(record_codec().encode(sample()).text);
    bad["supervisor"]["pid"] = pid;
    EXPECT_FALSE(record_codec().decode(bad.dump())) << pid;
  }
}

TEST(RecordJson, ASignalThatAsksNobodyToStopIsRefused) {
  for (const int signal : {-1, 9, 19, 65, 2'000'000'000}) {
    auto bad = nlohmann::json::parse(record_codec().encode(sample()).text);
    bad["stop_signal"] = signal;
    EXPECT_FALSE(record_codec().decode(bad.dump())) << signal;
  }
}

TEST(RecordJson, ANewerSchemaIsNamed) {
  auto newer = nlohmann::json::parse(record_codec().encode(sample()).text);
  newer["schema_version"] = 2;
  const auto record = record_codec().decode(newer.dump());
  ASSERT_FALSE(record);
  EXPECT_THAT(record.error().message(), HasSubstr("schema version 2"));
}

TEST(RecordJson, ARelativePathIsRefused) {
  auto bad = nlohmann::json::parse(record_codec().encode(sample()).text);
  bad["workdir"]["path"] = "etc";
  EXPECT_FALSE(record_codec().decode(bad.dump()));
}

TEST(RecordJson, ALongCommandLineStaysWithinTheLimit) {
  for (const char byte : {'\xff', '\x01'}) {  // three bytes each, replaced; six, escaped
    core::RunRecord record = sample();
    record.argv.assign(5000, std::string(5000, byte));
    record.enclosing.assign(5000, "FFFFFFFFFFFFFFFF");
    record.origin = origin();
    record.origin->argv = record.argv;
    record.state = core::RecordState::running;
    const std::string text = record_codec().encode(record).text;
    EXPECT_LE(text.size(), core::kRecordLimit);
    EXPECT_TRUE(record_codec().decode(text));
  }
}

TEST(RecordJson, AListThatReapctlWouldNotWriteIsRefused) {
  for (const char* key : {"argv", "enclosing"}) {
    auto bad = nlohmann::json::parse(record_codec().encode(sample()).text);
    bad[key] = std::vector<std::string>(20000, "a");
    const auto record = record_codec().decode(bad.dump());
    ASSERT_FALSE(record);
    EXPECT_THAT(record.error().message(), HasSubstr("too long"));
  }
  auto bad = nlohmann::json::parse(record_codec().encode(sample()).text);
  bad["leftovers"] = std::vector<nlohmann::json>(2000, {{"pid", 7}, {"start_ticks", 7}});
  EXPECT_THAT(record_codec().decode(bad.dump()).error().message(), HasSubstr("too long"));
}

TEST(RecordJson, ATimeThatTheClockCannotHoldIsNone) {
  for (const char* time : {"9999-12-31T23:59:59.999Z", "0001-01-01T00:00:00.000Z", "2262-05-01T00:00:00.000Z"}) {
    auto bad = nlohmann::json::parse(record_codec().encode(sample()).text);
    bad["started_at"] = time;
    EXPECT_FALSE(record_codec().decode(bad.dump())) << time;
  }
}

TEST(RecordJson, NamesNobodyWhomNoRunHasStarted) {
  core::RunRecord record = sample();
  record.state = core::RecordState::running;
  record.main = core::MainOnRecord{.id = {.pid = 1, .start_ticks = 2}, .pgid = 1, .sid = 1};
  const auto main = record_codec().decode(record_codec().encode(record).text);
  ASSERT_FALSE(main);
  EXPECT_THAT(main.error().message(), HasSubstr("first process"));
  record.main->id.pid = 2;
  EXPECT_TRUE(record_codec().decode(record_codec().encode(record).text));
  record.leftovers.push_back({.pid = 1, .start_ticks = 2});
  EXPECT_FALSE(record_codec().decode(record_codec().encode(record).text));
  record.leftovers.clear();
  record.supervisor.pid = 1;  // in a container it may well be
  EXPECT_TRUE(record_codec().decode(record_codec().encode(record).text));
}

}  // namespace
}  // namespace reapctl::report
