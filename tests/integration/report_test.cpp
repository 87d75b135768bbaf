#include "support/json_sink.hpp"
#include "support/process.hpp"
#include "support/reapctl.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <netinet/in.h>
#include <sstream>
#include <string>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

/// The report: where it goes, what it says; events; schema. That it conforms to the schema is checked for every report
/// that any test kept.
namespace reapctl::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;

constexpr const char* kTime = "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z";

std::vector<json> lines_of(const std::string& text) {
  std::vector<json> result;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    result.push_back(json::parse(line, nullptr, false));
    EXPECT_FALSE(result.back().is_discarded()) << line;
    keep_json("event", line);
  }
  return result;
}

TEST(Report, GoesToStderrAsOneLineByDefault) {
  const Outcome outcome = run({.args = {"run", "--", "sh", "-c", "echo out"}});
  EXPECT_EQ(outcome.out, "out\n");
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1);
  EXPECT_EQ(outcome.err.back(), '\n');
  EXPECT_EQ(json::parse(outcome.err, nullptr, false)["result"], "success");
}

TEST(Report, GoesToStdoutBehindTheOutput) {
  const Outcome outcome = run({.args = {"run", "--report", "stdout", "--", "sh", "-c", "echo out"}});
  EXPECT_TRUE(outcome.err.empty()) << outcome.err;
  ASSERT_THAT(outcome.out, testing::StartsWith("out\n"));
  EXPECT_EQ(json::parse(outcome.out.substr(4), nullptr, false)["result"], "success");
}

TEST(Report, NoneIsNone) {
  const Outcome outcome = run({.args = {"run", "--report", "none", "--", "true"}});
  EXPECT_TRUE(outcome.out.empty());
  EXPECT_TRUE(outcome.err.empty()) << outcome.err;
}

TEST(Report, GoesToADescriptorThatTheCommandDoesNotGet) {
  Roster roster;
  TempDir directory;
  const int file = ::open((directory / "report").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  Reapctl reapctl(
      {.args = {"run", "--report", "fd:5", "--", misbehave_path(), "--ready", roster.path(), "say-fds", "exit=2"},
       .fds = {{5, file}}});
  EXPECT_EQ(roster.next().role, "fds:0,1,2");
  EXPECT_EQ(reapctl.wait().code(), 2);
  ::close(file);
  EXPECT_EQ(json::parse(read_file(directory / "report"), nullptr, false)["exit_code"], 2);
}

TEST(Report, ARegularFileIsReplacedAtomically) {
  TempDir directory;
  const std::string path = directory / "report.json";
  write_file(path, "old");
  fs::create_hard_link(path, directory / "link");
  // While the command runs the old report is there, whole.
  const Outcome outcome = run({.args = {"run", "--report", path, "--", "cat", path}});
  EXPECT_EQ(outcome.code(), 0);
  EXPECT_EQ(outcome.out, "old");
  EXPECT_EQ(json::parse(read_file(path), nullptr, false)["result"], "success");
  EXPECT_EQ(read_file(directory / "link"), "old") << "the old file was replaced, not overwritten";
  EXPECT_EQ(std::distance(fs::directory_iterator(directory.path()), fs::directory_iterator()), 2)
      << "no temporary file";
}

TEST(Report, AFifoIsOpenedAndWritten) {
  TempDir directory;
  const std::string path = directory / "fifo";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  const int reader = ::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  EXPECT_EQ(run({.args = {"run", "--report", path, "--", "true"}}).code(), 0);
  char bytes[65536];
  const ssize_t count = ::read(reader, bytes, sizeof bytes);
  ::close(reader);
  ASSERT_GT(count, 0);
  EXPECT_EQ(json::parse(std::string(bytes, static_cast<std::size_t>(count)), nullptr, false)["result"], "success");
  EXPECT_TRUE(fs::is_fifo(path)) << "not replaced by a file";
}

TEST(Report, DevNullIsWrittenNotReplaced) {
  EXPECT_EQ(run({.args = {"run", "--report", "/dev/null", "--", "true"}}).code(), 0);
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
}

TEST(Report, AFileThatBecomesUnwritableAtTheEndIsReplacedByStderr) {
  TempDir directory;
  fs::create_directory(directory / "there");
  const Outcome outcome = run({.args = {"run", "--report", directory / "there/report", "--", "sh", "-c",
                                        "rm -rf '" + directory / "there" + "'; exit 3"}});
  EXPECT_EQ(outcome.code(), 3);
  const std::size_t begin = outcome.err.find("{\"schema_version\"");
  ASSERT_NE(begin, std::string::npos) << outcome.err;
  EXPECT_EQ(json::parse(outcome.err.substr(begin), nullptr, false)["exit_code"], 3);
  EXPECT_THAT(outcome.err, HasSubstr("there/report")) << "and says why";
}

TEST(Report, SaysWhatHappened) {
  const Outcome outcome = run(run_of({}, sh("exit 4")));
  const json& report = outcome.report;
  EXPECT_EQ(report["schema_version"], 1);
  EXPECT_THAT(report["started_at"].get<std::string>(), MatchesRegex(kTime));
  EXPECT_THAT(report["ended_at"].get<std::string>(), MatchesRegex(kTime));
  EXPECT_LE(report["started_at"].get<std::string>(), report["ended_at"].get<std::string>());
  EXPECT_GE(report["duration_ms"], 0);
  EXPECT_FALSE(report["host"].is_null());
  EXPECT_EQ(report["boot_id"].get<std::string>() + "\n", read_file("/proc/sys/kernel/random/boot_id"));
  EXPECT_EQ(report["origin"]["ppid"], ::getpid());
  EXPECT_EQ(report["origin"]["comm"], read_stat(::getpid()).value_or(ProcStat{}).comm);
  EXPECT_TRUE(report["origin"]["tty"].is_null());
  EXPECT_GT(report["main"]["pid"], 0);
  EXPECT_GT(report["main"]["rusage"]["maxrss_bytes"], 0);
  EXPECT_EQ(report["tree"]["reaped"], 1);
  EXPECT_EQ(report["tree"]["adopted"], 0);
  EXPECT_EQ(report["containment"]["mode"], report["containment"]["cgroup"].is_null() ? "subreaper" : "cgroup");
  EXPECT_FALSE(report["containment"]["why"].is_null());
  EXPECT_GT(report["loop"]["wakeups"], 0);
  EXPECT_GE(report["loop"]["max_stall_us"], 0);
  EXPECT_TRUE(report["output"].is_null());
  EXPECT_TRUE(report["warnings"].empty()) << report["warnings"];
}

TEST(Report, SnapshotShowsTheTreeWhenTheStopBegan) {
  Roster roster;
  Reapctl reapctl(
      run_of({}, misbehave(roster, {"fork", "[", "comm=the-server", "listen", "]", "comm=the-main", "ready=main"})));
  Process server;
  for (int i = 0; i < 2; ++i) {
    const Process process = roster.next();
    if (process.role != "main") server = process;
  }
  EXPECT_TRUE(await([&] { return read_stat(server.pid).value_or(ProcStat{}).state == 'S'; }));
  reapctl.send(SIGTERM);
  const Outcome outcome = reapctl.wait();
  const json& snapshot = outcome.report["stop"]["snapshot"];
  ASSERT_EQ(snapshot.size(), 2U);
  const json& child = snapshot[0]["comm"] == "the-server" ? snapshot[0] : snapshot[1];
  const json& main = snapshot[0]["comm"] == "the-server" ? snapshot[1] : snapshot[0];
  EXPECT_EQ(main["comm"], "the-main");
  EXPECT_EQ(child["pid"], server.pid);
  EXPECT_EQ(child["ppid"], main["pid"]);
  EXPECT_EQ(child["state"], "S");
  EXPECT_THAT(child["listening"].get<std::vector<std::string>>(),
              ElementsAre("127.0.0.1:" + server.role.substr(std::string("listen:").size())));
  EXPECT_GE(child["age_ms"], 0);
  EXPECT_GT(child["rss_bytes"], 0);
}

TEST(Report, AnOriginInCiIsNamed) {
  Launch launch = run_of({}, {"true"});
  launch.env = {{"GITHUB_ACTIONS", "true"},
                {"GITHUB_REPOSITORY", "owner/repo"},
                {"GITHUB_RUN_ID", "12"},
                {"GITHUB_JOB", "build"}};
  EXPECT_THAT(run(std::move(launch)).report["origin"]["ci"].get<std::string>(), HasSubstr("owner/repo"));
}

struct Redaction {
  const char* how;
  bool secret;
  bool others;
};

class ReportArgs : public testing::TestWithParam<Redaction> {};

TEST_P(ReportArgs, DecidesWhatIsShown) {
  TempDir directory;
  const Outcome outcome = run(run_of({"--report-args", GetParam().how, "--events", directory / "events"},
                                     misbehave({"show-argv", "--password=hunter2", "--token", "hunter2",
                                                "SECRET=hunter2", "https://me:hunter2@host/", "visible"})));
  EXPECT_THAT(outcome.out, HasSubstr("hunter2")) << "the command itself gets it all";
  const std::string events = read_file(directory / "events");
  for (const std::string& text : {outcome.report_text, events}) {
    EXPECT_EQ(text.find("hunter2") != std::string::npos, GetParam().secret) << text;
    EXPECT_EQ(text.find("visible") != std::string::npos, GetParam().others) << text;
  }
}

INSTANTIATE_TEST_SUITE_P(Report, ReportArgs,
                         testing::Values(Redaction{"redacted", false, true}, Redaction{"full", true, true},
                                         Redaction{"none", false, false}));

TEST(Report, SecretsInTheOriginAreRedactedToo) {
  Launch launch = run_of({}, {"true"});
  launch.wrapper = {"sh", "-c", "\"$@\"; exit $?", "--token=hunter2"};
  EXPECT_THAT(run(std::move(launch)).report_text, Not(HasSubstr("hunter2")));
}

TEST(Report, TextIsForPeople) {
  const Outcome outcome = run({.args = {"run", "--report-format", "text", "--name", "pytest", "-t", "100ms", "--ladder",
                                        "INT:50ms,KILL", "--", misbehave_path(), "ignore=INT", "comm=deaf"}});
  EXPECT_EQ(outcome.code(), 124);
  EXPECT_THAT(outcome.err, HasSubstr("pytest"));
  EXPECT_THAT(outcome.err, HasSubstr("timed out"));
  EXPECT_THAT(outcome.err, HasSubstr("exit 124"));
  EXPECT_THAT(outcome.err, HasSubstr("deaf"));
  EXPECT_THAT(outcome.err, HasSubstr("KILL"));
  EXPECT_THAT(outcome.err, HasSubstr("nothing left"));
  EXPECT_THAT(outcome.err, Not(HasSubstr("{")));
}

TEST(Report, ManyLeftoversAreCappedButCounted) {
  constexpr int kProcesses = 70;
  Roster roster;
  Gate gate;
  Args steps;
  for (int i = 0; i < kProcesses; ++i) steps.insert(steps.end(), {"fork", "[", "ready=child", "]"});
  steps.insert(steps.end(), {"await=" + gate.path(), "exit=0"});
  Reapctl reapctl(run_of({}, misbehave(roster, steps)));
  for (int i = 0; i < kProcesses; ++i) (void)roster.next();
  gate.open();
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.report["tree"]["leftovers"].size(), 64U);
  EXPECT_EQ(outcome.report["tree"]["reaped"], kProcesses + 1);
  EXPECT_EQ(outcome.report["stop"]["rungs"][0]["told"], kProcesses);
  EXPECT_GE(outcome.report["tree"]["omitted"], kProcesses - 64);
}

TEST(Events, AreWrittenAsTheyHappen) {
  Roster roster;
  Gate gate;
  TempDir directory;
  const std::string path = directory / "events";
  Reapctl reapctl(run_of({"--events", path}, misbehave(roster, {"double-fork", "[", "setsid", "ready=child", "]",
                                                                "ready=main", "await=" + gate.path(), "exit=3"})));
  const auto processes = roster.await_roles({"child", "main"});
  EXPECT_TRUE(await([&] { return read_file(path).find("\"started\"") != std::string::npos; })) << "before the end";
  gate.open();
  const Outcome outcome = reapctl.wait();
  std::vector<std::string> names;
  for (const json& event : lines_of(read_file(path))) {
    EXPECT_THAT(event["at"].get<std::string>(), MatchesRegex(kTime));
    names.push_back(event["event"]);
    if (names.back() == "started") {
      EXPECT_EQ(event["pid"], processes.at("main").pid);
    }
  }
  ASSERT_FALSE(names.empty());
  EXPECT_EQ(names.front(), "started");
  EXPECT_EQ(names.back(), "ended");
  for (const char* name : {"exited", "left", "rung", "workdir"}) EXPECT_THAT(names, testing::Contains(name));
}

TEST(Events, AreAppendedToAFile) {
  TempDir directory;
  write_file(directory / "events", "{}\n");
  EXPECT_EQ(run(run_of({"--events", directory / "events"}, {"true"})).code(), 0);
  EXPECT_THAT(read_file(directory / "events"), testing::StartsWith("{}\n{\"at\""));
}

TEST(Events, GoToADescriptor) {
  TempDir directory;
  const int file = ::open((directory / "events").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  Launch launch = run_of({"--events", "fd:4"}, {"true"});
  launch.fds = {{4, file}};
  EXPECT_EQ(run(std::move(launch)).code(), 0);
  ::close(file);
  EXPECT_GE(lines_of(read_file(directory / "events")).size(), 3U);
}

TEST(Schema, IsPrintedAsInTheSourceTree) {
  for (const std::string name : {"report", "event"}) {
    const Outcome outcome = run({.args = {"schema", name}});
    EXPECT_EQ(outcome.code(), 0);
    const json schema = json::parse(outcome.out, nullptr, false);
    EXPECT_EQ(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
  }
}

TEST(Version, SaysVersionRevisionAndLinkage) {
  const Outcome outcome = run({.args = {"--version"}});
  EXPECT_EQ(outcome.code(), 0);
  EXPECT_THAT(outcome.out, MatchesRegex("reapctl [0-9]+\\.[0-9]+\\.[0-9]+[^\n]*(static|dynamic)[^\n]*\n"));
}

TEST(Help, GoesToStdout) {
  for (const Args& args : {Args{"--help"}, Args{"-h"}, Args{"run", "--help"}, Args{"run", "-h"}}) {
    const Outcome outcome = run({.args = args});
    EXPECT_EQ(outcome.code(), 0);
    EXPECT_THAT(outcome.out, HasSubstr("reapctl run"));
    EXPECT_TRUE(outcome.err.empty());
  }
}

TEST(Events, AnAdoptionIsToldWhenItIsSeen) {
  TempDir directory;
  Roster roster;
  Gate gate;
  Reapctl reapctl(run_of(
      {"--events", directory / "events"},
      misbehave(roster, {"double-fork", "[", "ready=child", "]", "ready=main", "await=" + gate.path(), "exit=0"})));
  const auto processes = roster.await_roles({"child", "main"});
  gate.open();
  EXPECT_EQ(reapctl.wait().code(), 0);
  std::vector<std::string> order;
  for (const json& event : lines_of(read_file(directory / "events"))) {
    const bool of_child = event.value("pid", -1) == processes.at("child").pid;
    if (of_child || event["event"] == "left" || event["event"] == "rung") order.push_back(event["event"]);
  }
  EXPECT_THAT(order, ElementsAre("adopted", "left", "rung", "exited"));
}

TEST(TextReport, NamesOnlyPortsThatNobodyListensOn) {
  // The command has a listening socket of ours and one of its own.
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(socket, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(socket, 1), 0);
  ASSERT_EQ(::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size), 0);
  Roster roster;
  Launch launch{.args = {"run", "--report-format", "text", "--", misbehave_path(), "--ready", roster.path(), "listen",
                         "ready=main"},
                .fds = {{3, socket}}};
  Reapctl reapctl(std::move(launch));
  const std::string own = roster.next().role.substr(std::string("listen:").size());
  roster.await_roles({"main"});
  reapctl.send(SIGTERM);
  const std::string text = reapctl.wait().err;
  ::close(socket);
  EXPECT_THAT(text, HasSubstr(":" + std::to_string(ntohs(address.sin_port)))) << "it was seen to listen";
  EXPECT_THAT(text, HasSubstr("nothing left; port " + own + " is free\n"));
}

}  // namespace
}  // namespace reapctl::test
