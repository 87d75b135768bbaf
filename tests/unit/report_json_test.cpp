#include "report/json.hpp"
#include "report/schema.hpp"
#include "report_samples.hpp"
#include "support/json_sink.hpp"

#include <fstream>
#include <sstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace reapctl::report {
namespace {

using core::ArgsShown;
using Json = nlohmann::ordered_json;

/// The report as text, kept for the schema test and parsed back.
Json rendered(const core::RunReport& report, ArgsShown shown = ArgsShown::redacted) {
  const std::string text = to_json(report, shown);
  test::keep_json("report", text);
  EXPECT_EQ(text.find('\n'), std::string::npos);
  return Json::parse(text);
}

Json rendered(core::Event event, ArgsShown shown = ArgsShown::redacted) {
  event.at = test::wall(1'795'248'000'123);
  const std::string text = to_json(event, shown);
  test::keep_json("event", text);
  return Json::parse(text);
}

TEST(ReportJson, KeysAreInTheOrderOfTheContract) {
  std::vector<std::string> keys;
  const Json json = rendered(test::success());
  for (const auto& [key, value] : json.items()) keys.push_back(key);
  EXPECT_EQ(
      keys,
      (std::vector<std::string>{
          "schema_version", "reapctl_version", "run_id",      "name",   "host",   "boot_id",   "command", "origin",
          "started_at",     "ended_at",        "duration_ms", "result", "exit",   "exit_code", "main",    "stop",
          "tree",           "containment",     "workdir",     "loop",   "output", "warnings"}));
}

TEST(ReportJson, AnEmptyReportHasNullsAndEmptyArrays) {
  core::RunReport report;
  report.run_id = "C71E";
  report.exit = core::ExitStatus{.failed_stage = "exec", .failed_errno = ENOENT};
  const Json json = rendered(report);
  for (const char* key : {"host", "boot_id", "main", "stop", "workdir", "output"})
    EXPECT_TRUE(json[key].is_null()) << key;
  EXPECT_TRUE(json["command"]["executable"].is_null());
  EXPECT_TRUE(json["origin"]["tty"].is_null());
  EXPECT_TRUE(json["tree"]["peak_processes"].is_null());
  EXPECT_TRUE(json["containment"]["cgroup"].is_null());
  EXPECT_EQ(json["command"]["argv"], Json::array());
  EXPECT_EQ(json["tree"]["survivors"], Json::array());
  EXPECT_EQ(json["warnings"], Json::array());
  EXPECT_EQ(
      json["exit"].dump(),
      R"({"kind":"not-started","code":null,"signal":null,"signal_name":null,"stage":"exec","errno_name":"ENOENT"})");
}

TEST(ReportJson, TellsAStopInFull) {
  const Json json = rendered(test::timed_out());
  EXPECT_EQ(json["result"], "timeout");
  EXPECT_EQ(json["started_at"], "2026-11-21T08:00:00.123Z");
  EXPECT_EQ(json["exit"].dump(),
            R"({"kind":"killed","code":null,"signal":2,"signal_name":"INT","stage":null,"errno_name":null})");
  const Json& stop = json["stop"];
  EXPECT_EQ(stop["cause"], "timeout");
  EXPECT_TRUE(stop["signal_name"].is_null());
  EXPECT_EQ(stop["snapshot"][2].dump(),
            R"({"pid":4502,"ppid":4410,"comm":"redis-server","cmdline":["redis-server"],"state":"S","wchan":"ep_poll",)"
            R"("cpu_ms":0,"rss_bytes":1048576,"age_ms":1000,"listening":["127.0.0.1:6379","[::1]:6379"]})");
  EXPECT_TRUE(stop["snapshot"][1]["wchan"].is_null());
  EXPECT_EQ(stop["rungs"][0].dump(), R"({"signal_name":"INT","at_ms":0,"told":3,"ended":2,"left":1})");
}

TEST(ReportJson, TellsLeftoversSurvivorsAndTheWorkDirectory) {
  core::RunReport report = test::success();
  report.tree.leftovers = {
      {.process = test::process(7, 1, "sshd"), .died_of = 9, .after = core::Millis(12), .rung = "KILL"},
      {.process = test::process(8, 1, "cat"), .died_of = {}, .after = {}, .rung = ""}};
  report.tree.survivors = {{.pid = 9, .comm = "dd", .state = 'D', .wchan = "nfs_wait", .reason = "does not wake up"}};
  report.workdir = core::WorkdirReport{.path = "/tmp/reapctl-C71E",
                                       .files = 3,
                                       .directories = 1,
                                       .bytes = 4096,
                                       .errors = {{"/tmp/reapctl-C71E/x", "EBUSY"}}};
  report.containment_why = "asked for";
  report.cgroup = core::CgroupReport{.path = "/sys/fs/cgroup/reapctl-C71E", .memory_peak_bytes = 4096, .oom_kills = 1};
  report.stop = core::StopReport{.cause = core::StopCause::signal, .signal = 15, .sender_pid = 1};
  const Json json = rendered(report);
  EXPECT_EQ(json["tree"]["leftovers"][0]["died_of"], "KILL");
  EXPECT_EQ(json["tree"]["leftovers"][0]["after_ms"], 12);
  EXPECT_TRUE(json["tree"]["leftovers"][1]["died_of"].is_null());
  EXPECT_TRUE(json["tree"]["leftovers"][1]["rung"].is_null());
  EXPECT_EQ(json["tree"]["survivors"][0].dump(),
            R"({"pid":9,"comm":"dd","state":"D","wchan":"nfs_wait","reason":"does not wake up"})");
  EXPECT_EQ(
      json["containment"].dump(),
      R"({"mode":"cgroup","guard":true,"why":"asked for","cgroup":{"path":"/sys/fs/cgroup/reapctl-C71E","memory_peak_bytes":4096,"cpu_usage_us":null,"oom_kills":1}})");
  EXPECT_EQ(json["workdir"]["errors"].dump(), R"([{"path":"/tmp/reapctl-C71E/x","errno_name":"EBUSY"}])");
  EXPECT_EQ(json["stop"]["signal_name"], "TERM");
  EXPECT_EQ(json["stop"]["sender_pid"], 1);
  EXPECT_EQ(json["tree"]["omitted"], 0);
}

TEST(ReportJson, AProcessThatCouldNotBeReadHasNullsNotZeros) {
  core::RunReport report = test::success();
  report.stop = core::StopReport{.snapshot = {core::ProcessDetails{.pid = 12}}};
  report.tree.leftovers = {{.process = core::ProcessDetails{.pid = 12}, .died_of = {}, .after = {}, .rung = ""}};
  const Json json = rendered(report);
  EXPECT_EQ(json["stop"]["snapshot"][0].dump(),
            R"({"pid":12,"ppid":null,"comm":null,"cmdline":[],"state":null,"wchan":null,"cpu_ms":null,)"
            R"("rss_bytes":null,"age_ms":null,"listening":[]})");
  EXPECT_TRUE(json["tree"]["leftovers"][0]["sid"].is_null());
}

TEST(ReportJson, ListsAreCutAtTheLimitAndTheRestIsCounted) {
  core::RunReport report = test::success();
  report.tree.leftovers.assign(70, {.process = test::process(7, 1, "x"), .died_of = {}, .after = {}, .rung = ""});
  report.tree.leftovers_total = 1000;
  report.tree.survivors.assign(65, {.pid = 9, .comm = "x", .state = 'D', .wchan = "", .reason = ""});
  report.stop = core::StopReport{};
  report.stop->snapshot.assign(core::kListLimit, test::process(7, 1, "x"));
  report.tree.snapshot_total = 66;
  report.workdir = core::WorkdirReport{};
  report.workdir->errors.assign(core::kListLimit, {"x", "EPERM"});
  report.workdir->errors_total = 68;
  const Json json = rendered(report);
  EXPECT_EQ(json["tree"]["leftovers"].size(), core::kListLimit);
  EXPECT_EQ(json["tree"]["survivors"].size(), core::kListLimit);
  EXPECT_EQ(json["tree"]["omitted"], (1000 - 64) + (65 - 64) + (66 - 64) + (68 - 64));
}

TEST(ReportJson, BytesThatAreNotUtf8AreReplacedOneByOne) {
  core::RunReport report = test::success();
  const std::string hostile = std::string("a\xff\xfe\x80z\x1b]0;\"\\\n") + '\0' + "\xe2\x28";
  report.name = hostile;
  report.argv = {hostile, ""};
  report.cwd = hostile;
  report.origin.comm = hostile;
  report.warnings = {hostile};
  report.stop = core::StopReport{.snapshot = {test::process(1, 0, hostile, {hostile})}};
  report.stop->snapshot[0].state = '\xff';
  report.tree.survivors = {{.pid = 9, .comm = hostile, .state = '\0', .wchan = hostile, .reason = hostile}};
  const Json json = rendered(report);
  const std::string replaced = std::string("a\uFFFD\uFFFD\uFFFDz\x1b]0;\"\\\n") + '\0' + "\uFFFD(";
  EXPECT_EQ(json["name"], replaced);
  EXPECT_EQ(json["command"]["argv"][0], replaced);
  EXPECT_EQ(json["warnings"][0], replaced);
}

TEST(ReportJson, CommandLinesAreShownAsAsked) {
  core::RunReport report = test::success();
  const std::vector<std::string> argv = {"psql", "--password=hunter2"};
  report.argv = argv;
  report.origin.argv = argv;
  report.stop = core::StopReport{.snapshot = {test::process(1, 0, "psql", argv)}};
  report.tree.leftovers = {{.process = test::process(1, 0, "psql", argv), .died_of = {}, .after = {}, .rung = ""}};
  const auto lines = [](const Json& json) {
    return std::vector<std::vector<std::string>>{json["command"]["argv"], json["origin"]["cmdline"],
                                                 json["stop"]["snapshot"][0]["cmdline"],
                                                 json["tree"]["leftovers"][0]["cmdline"]};
  };
  using Args = std::vector<std::string>;
  for (const Args& line : lines(rendered(report))) EXPECT_EQ(line, (Args{"psql", "--password=***"}));
  for (const Args& line : lines(rendered(report, ArgsShown::full))) EXPECT_EQ(line, argv);
  for (const Args& line : lines(rendered(report, ArgsShown::none))) EXPECT_EQ(line, Args{});
}

TEST(ReportJson, EveryWordIsInTheSchema) {
  core::RunReport report = test::success();
  for (int i = 0; i <= static_cast<int>(core::RunResult::success); ++i) {
    report.result = static_cast<core::RunResult>(i);
    EXPECT_FALSE(rendered(report)["result"].get<std::string>().empty());
    (void)rendered({.at = {}, .what = core::EndedEvent{.result = report.result, .exit_code = 0}});
  }
  report.stop = core::StopReport{};
  for (int i = 0; i <= static_cast<int>(core::StopCause::supervisor_death); ++i) {
    report.stop->cause = static_cast<core::StopCause>(i);
    (void)rendered(report);
  }
  report.exit.reset();
  EXPECT_TRUE(rendered(report)["exit"].is_null()) << "a main command that could not be killed";
  report.exit.emplace();
  for (int i = 0; i <= static_cast<int>(core::ExitKind::not_started); ++i) {
    report.exit->kind = static_cast<core::ExitKind>(i);
    (void)rendered(report);
  }
  for (int i = 0; i <= static_cast<int>(core::SignalAction::ignored); ++i) {
    (void)rendered(
        {.at = {},
         .what = core::SignalEvent{.signal = 15, .sender_pid = {}, .action = static_cast<core::SignalAction>(i)}});
  }
}

TEST(EventJson, EachKindHasItsKeys) {
  const std::string at = R"({"at":"2026-11-21T08:00:00.123Z","event":)";
  EXPECT_EQ(rendered({.at = {}, .what = core::StartedEvent{.pid = 5, .argv = {"x", "--token", "y"}}}).dump(),
            at + R"("started","pid":5,"argv":["x","--token","***"]})");
  EXPECT_EQ(
      rendered({.at = {}, .what = core::SignalEvent{.signal = 15, .sender_pid = 9, .action = core::SignalAction::stop}})
          .dump(),
      at + R"("signal","signal_name":"TERM","sender_pid":9,"action":"stop"})");
  EXPECT_EQ(rendered({.at = {}, .what = core::RungEvent{.signal_name = "INT/TERM", .told = 3}}).dump(),
            at + R"("rung","signal_name":"INT/TERM","told":3})");
  EXPECT_EQ(rendered({.at = {}, .what = core::AdoptedEvent{.pid = 5, .comm = "\xff"}}).dump(),
            at + "\"adopted\",\"pid\":5,\"comm\":\"\uFFFD\"}");
  EXPECT_EQ(rendered({.at = {}, .what = core::ExitedEvent{.pid = 5, .main = true, .code = 3, .signal = {}}}).dump(),
            at + R"("exited","pid":5,"main":true,"code":3,"signal_name":null})");
  EXPECT_EQ(rendered({.at = {}, .what = core::ExitedEvent{.pid = 5, .main = false, .code = {}, .signal = 9}}).dump(),
            at + R"("exited","pid":5,"main":false,"code":null,"signal_name":"KILL"})");
  EXPECT_EQ(rendered({.at = {}, .what = core::LeftEvent{.count = 2}}).dump(), at + R"("left","count":2})");
  EXPECT_EQ(
      rendered({.at = {}, .what = core::WorkdirEvent{.files = 1, .bytes = 2, .duration = core::Millis(3)}}).dump(),
      at + R"("workdir","files":1,"bytes":2,"duration_ms":3})");
  EXPECT_EQ(rendered({.at = {}, .what = core::EndedEvent{.result = core::RunResult::stopped, .exit_code = 143}}).dump(),
            at + R"("ended","result":"stopped","exit_code":143})");
}

TEST(Schema, IsEmbeddedByteForByte) {
  std::vector<std::string_view> names;
  for (const Schema& schema : schemas()) {
    names.push_back(schema.name);
    std::ifstream file(std::string(REAPCTL_SCHEMA_DIR "/").append(schema.name).append(".schema.json"));
    std::ostringstream text;
    text << file.rdbuf();
    EXPECT_EQ(schema.text, text.str()) << schema.name;
  }
  EXPECT_NE(std::find(names.begin(), names.end(), "report"), names.end());
  EXPECT_NE(std::find(names.begin(), names.end(), "event"), names.end());
}

TEST(ReportJson, AProcessThatIsEndingHasNoMemoryToTellOf) {
  core::RunReport report = test::timed_out();
  report.stop->snapshot[0].rss_bytes = 0;
  report.tree.leftovers = {{.process = report.stop->snapshot[0], .died_of = {}, .after = {}, .rung = ""}};
  const Json json = rendered(report);
  EXPECT_TRUE(json["stop"]["snapshot"][0]["rss_bytes"].is_null());
  EXPECT_EQ(json["stop"]["snapshot"][1]["rss_bytes"], 1 << 20);
  EXPECT_TRUE(json["tree"]["leftovers"][0]["rss_bytes"].is_null());
}

}  // namespace
}  // namespace reapctl::report
