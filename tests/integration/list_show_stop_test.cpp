#include "support/json_sink.hpp"
#include "support/process.hpp"
#include "support/reapctl.hpp"
#include "support/sweep_fixture.hpp"

#include <csignal>
#include <map>
#include <string>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace reapctl::test {
namespace {

using testing::HasSubstr;

class RunsOnRecord : public SweepFixture {};

TEST_F(RunsOnRecord, ListShowAndStopTellActiveFromOrphaned) {
  auto orphaned = start("listener", {"listen"}, {"--name", "listener"});
  std::map<std::string, Process> processes;
  std::string port;
  while (processes.count("listener") == 0) {
    const Process next = roster_.next();
    if (next.role.starts_with("listen:")) port = next.role.substr(7);
    processes[next.role] = next;
  }
  auto active = start("deaf", {"ignore=INT"}, {"--name", "deaf", "--ladder", "INT:20s,KILL"});
  const Process deaf = roster_.next();
  orphan(*orphaned, processes["listener"]);

  const Outcome list = reapctl({"list", "--json"});
  keep_json("list", list.out.substr(0, list.out.find('\n')));
  std::map<std::string, nlohmann::json> runs;
  const auto listed = nlohmann::json::parse(list.out);
  for (const auto& run : listed["runs"]) runs[run["name"]] = run;
  EXPECT_EQ(runs["listener"]["verdict"], "orphaned");
  EXPECT_EQ(runs["listener"]["processes"], 1);
  EXPECT_EQ(runs["listener"]["listening"], nlohmann::json({"127.0.0.1:" + port}));
  EXPECT_EQ(runs["listener"]["cleanup"], "reapctl sweep " + runs["listener"]["run_id"].get<std::string>());
  EXPECT_EQ(runs["deaf"]["verdict"], "active");
  EXPECT_THAT(reapctl({"list"}).out, HasSubstr("reapctl sweep"));

  const Outcome show = reapctl({"show", "--port", port, "--json"});
  keep_json("show", show.out.substr(0, show.out.find('\n')));
  EXPECT_EQ(nlohmann::json::parse(show.out)["run"]["name"], "listener");
  EXPECT_EQ(nlohmann::json::parse(show.out)["record"]["main"]["pid"], processes["listener"].pid);
  EXPECT_THAT(reapctl({"show", "--pid", std::to_string(deaf.pid)}).out, HasSubstr("deaf: active"));
  EXPECT_EQ(reapctl({"show", "--pid", std::to_string(::getpid())}).code(), 1);

  const Outcome no_such = reapctl({"stop", "--name", "listener"});
  EXPECT_EQ(no_such.code(), 1);
  EXPECT_THAT(no_such.err, HasSubstr("reapctl sweep"));
  EXPECT_EQ(reapctl({"stop", "--name", "nobody"}).code(), 1);
  const Outcome not_gone = reapctl({"stop", "--name", "deaf", "--stop-timeout", "50ms"});
  EXPECT_EQ(not_gone.code(), 4);
  EXPECT_THAT(not_gone.err, HasSubstr("\nreapctl: stop: held up by " + std::to_string(deaf.pid)));
  send_signal(deaf.pid, SIGKILL);
  (void)active->wait();
  (void)sweep({"--ladder", "KILL"});
}

}  // namespace
}  // namespace reapctl::test
