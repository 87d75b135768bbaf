#include "support/process.hpp"
#include "support/reapctl.hpp"

#include <arpa/inet.h>
#include <csignal>
#include <netinet/in.h>
#include <string>
#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>

/// Incident 3, tractor pull request 463: SIGINT first, a bounded wait, then SIGKILL, over the whole tree.
namespace reapctl::test {
namespace {

/// Whether a server can listen there at once.
bool port_is_free(const std::string& port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int yes = 1;
  (void)::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(port)));
  const bool is_free =
      ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 && ::listen(fd, 1) == 0;
  ::close(fd);
  return is_free;
}

/// Reads `count` lines of the roster, of which one is "listen:PORT"; returns the port.
std::string await_port(Roster& roster, int count) {
  constexpr std::string_view kPrefix = "listen:";
  std::string port;
  for (int i = 0; i < count; ++i) {
    const Process process = roster.next();
    if (process.role.rfind(kPrefix, 0) == 0) port = process.role.substr(kPrefix.size());
  }
  EXPECT_FALSE(port.empty());
  return port;
}

TEST(Incident3, TheLadderReachesEveryGenerationAndThePortIsFree) {
  Roster roster;
  Reapctl reapctl(run_of({"--ladder", "INT:1h,KILL"}, misbehave(roster, {"fork",
                                                                         "[",
                                                                         "on=INT:say=child-int",
                                                                         "on=INT:exit=0",
                                                                         "fork",
                                                                         "[",
                                                                         "on=INT:say=grandchild-int",
                                                                         "on=INT:exit=0",
                                                                         "ready=grandchild",
                                                                         "]",
                                                                         "ready=child",
                                                                         "]",
                                                                         "fork",
                                                                         "[",
                                                                         "setsid",
                                                                         "on=INT:say=setsid-int",
                                                                         "on=INT:exit=0",
                                                                         "ready=setsid",
                                                                         "]",
                                                                         "double-fork",
                                                                         "[",
                                                                         "setsid",
                                                                         "on=INT:say=daemon-int",
                                                                         "on=INT:exit=0",
                                                                         "listen",
                                                                         "]",
                                                                         "on=INT:exit=0",
                                                                         "ready=main"})));
  const std::string port = await_port(roster, 5);
  EXPECT_FALSE(port_is_free(port));
  reapctl.send(SIGTERM);
  roster.await_roles({"child-int", "grandchild-int", "setsid-int", "daemon-int"});
  const Outcome outcome = reapctl.wait();
  EXPECT_TRUE(port_is_free(port));
  EXPECT_EQ(outcome.code(), 0);
  EXPECT_EQ(outcome.report["stop"]["rungs"].size(), 1U);
}

TEST(Incident3, ManyThatNeverActOnSigintEndAtTheBoundTogether) {
  constexpr int kDeaf = 30;
  Roster roster;
  Args steps{"ignore=INT"};
  for (int i = 0; i < kDeaf; ++i) steps.insert(steps.end(), {"fork", "[", "setsid", "ready=deaf", "]"});
  Reapctl reapctl(run_of({"--ladder", "INT:300ms,KILL"}, misbehave(roster, steps)));
  for (int i = 0; i < kDeaf; ++i) (void)roster.next();
  reapctl.send(SIGTERM);
  const Outcome outcome = reapctl.wait();
  EXPECT_EQ(outcome.code(), 137);
  const auto& rungs = outcome.report["stop"]["rungs"];
  ASSERT_EQ(rungs.size(), 2U);
  EXPECT_EQ(rungs[0]["ended"], 0);
  EXPECT_GE(rungs[1]["at_ms"], 300);
  EXPECT_EQ(rungs[1]["ended"], kDeaf + 1);
}

TEST(Incident3, TheReportNamesThePortsOfLeftovers) {
  Roster roster;
  Gate gate;
  Reapctl reapctl(run_of(
      {}, misbehave(roster, {"fork", "[", "setsid", "listen", "]", "ready=main", "await=" + gate.path(), "exit=0"})));
  const std::string port = await_port(roster, 2);
  gate.open();
  const Outcome outcome = reapctl.wait();
  ASSERT_EQ(outcome.report["tree"]["leftovers"].size(), 1U);
  EXPECT_EQ(outcome.report["tree"]["leftovers"][0]["listening"], nlohmann::json::array({"127.0.0.1:" + port}));
  EXPECT_TRUE(port_is_free(port));
}

TEST(Incident3, WhatDiesBeforeItIsReadyIsReportedAtOnce) {
  // A server that never comes up: its exit status is there, nobody waits for a connection.
  EXPECT_EQ(run(run_of({"--timeout", "1h", "--ladder", "INT:1h,KILL"}, sh("exit 3"))).code(), 3);
  const Outcome unstarted = run(run_of({"--timeout", "1h"}, {"/nonexistent/server"}));
  EXPECT_EQ(unstarted.code(), 127);
  EXPECT_EQ(unstarted.report["exit"]["stage"], "exec");
}

TEST(Incident3, ALeftoverThatHoldsThePipeDoesNotHang) {
  Roster roster;
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  Launch launch = run_of({"--ladder", "INT:50ms,KILL"},
                         misbehave(roster, {"fork", "[", "setsid", "ignore=all", "ready=holder", "]", "ready=main"}));
  launch.stdout_fd = ends[1];
  Reapctl reapctl(std::move(launch));
  ::close(ends[1]);
  roster.await_roles({"holder", "main"});
  reapctl.send(SIGTERM);
  EXPECT_EQ(reapctl.wait().code(), 130);
  char byte = 0;
  EXPECT_EQ(::read(ends[0], &byte, 1), 0);
  ::close(ends[0]);
}

}  // namespace
}  // namespace reapctl::test
