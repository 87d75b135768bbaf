#include "documentation/completing_shell.hpp"
#include "documentation/help.hpp"
#include "support/reapctl.hpp"
#include "support/scoped_variable.hpp"
#include "support/sweep_fixture.hpp"

#include <regex>
#include <set>
#include <sstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

/// Each test asks each of the real shells, with the real binary behind it.
namespace reapctl::test {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::Contains;
using testing::Not;

using Words = std::set<std::string>;

class Completion : public SweepFixture, public testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    if (const std::string obstacle = CompletingShell::obstacle(GetParam()); !obstacle.empty()) GTEST_SKIP() << obstacle;
  }
};

INSTANTIATE_TEST_SUITE_P(Shells, Completion, testing::Values("bash", "zsh", "fish"),
                         [](const auto& shell) { return std::string(shell.param); });

TEST_P(Completion, OffersEveryCommandAndNoOther) {
  CompletingShell shell(GetParam());
  const auto commands = help_commands();
  EXPECT_EQ(shell.offered("reapctl "), Words(commands.begin(), commands.end()));
}

TEST_P(Completion, OffersEveryOptionOfEveryCommandAndNoOther) {
  CompletingShell shell(GetParam());
  EXPECT_EQ(shell.offered("reapctl -"), help_words(""));
  for (const std::string& command : help_commands()) {
    EXPECT_EQ(shell.offered("reapctl " + command + " -"), help_words(command)) << command;
  }
}

/// The words that are allowed as a value of the option, if the message about one that is not lists them.
Words allowed(const std::string& option, const Outcome& refused) {
  std::smatch match;
  Words words;
  if (!std::regex_search(refused.err, match, std::regex(option + " \"%\": expected one of (.*)"))) return words;
  std::istringstream list(match[1].str());
  for (std::string word; list >> word;) words.insert(word.substr(0, word.find(',')));
  return words;
}

TEST_P(Completion, OffersTheWordsThatAreAllowedAsAValueAndNoOther) {
  CompletingShell shell(GetParam());
  int compared = 0;
  auto commands = help_commands();
  commands.emplace_back();
  for (const std::string& command : commands) {
    for (const HelpOption& option : help_options(command)) {
      const std::string name = option.names.substr(0, option.names.find(' '));
      if (option.value.empty() || name == "--registry") continue;
      Args args{command.empty() ? "list" : command, name, "%"};
      if (command == "run") args.insert(args.end(), {"--", "true"});
      const Words expected = allowed(name, reapctl(args));
      if (expected.empty()) continue;
      EXPECT_EQ(shell.offered("reapctl " + args[0] + " " + name + " "), expected) << args[0] << " " << name;
      ++compared;
    }
  }
  EXPECT_GT(compared, 5);
  EXPECT_EQ(shell.offered("reapctl schema "), allowed("schema", reapctl({"schema", "%"})));
}

TEST_P(Completion, OffersSignals) {
  CompletingShell shell(GetParam());
  EXPECT_THAT(shell.offered("reapctl run -s "), AllOf(Contains("INT"), Contains("TERM"), Not(Contains("SIGINT"))));
  EXPECT_THAT(shell.offered("reapctl run --stop-on HUP,US"), Contains(AnyOf("HUP,USR1", "USR1")));
  EXPECT_THAT(shell.offered("reapctl run --map USR1:US"), Contains(AnyOf("USR1:USR2", "USR2")));
}

TEST_P(Completion, OffersTheRunsOnRecord) {
  const auto web = start("web", {}, {"--name", "web"});
  const auto lost = start("lost", {}, {"--name", "lost"});
  const auto mains = roster_.await_roles({"web", "lost"});
  orphan(*lost, mains.at("lost"));
  std::map<std::string, std::string> id_of;
  const auto list = nlohmann::json::parse(reapctl({"list", "--json"}).out);
  for (const auto& run : list["runs"]) id_of[run["name"]] = run["run_id"];
  const ScopedVariable registry("REAPCTL_REGISTRY", registry_.c_str());
  CompletingShell shell(GetParam());
  EXPECT_EQ(shell.offered("reapctl stop "), Words{id_of["web"]});
  EXPECT_EQ(shell.offered("reapctl sweep "), Words{id_of["lost"]});
  EXPECT_EQ(shell.offered("reapctl show "), (Words{id_of["web"], id_of["lost"]}));
  EXPECT_EQ(shell.offered("reapctl stop --name "), Words{"web"});
  EXPECT_EQ(shell.offered("reapctl sweep --name "), (Words{"lost", "web"}));
  EXPECT_EQ(reapctl({"sweep", "--include-active"}).code(), 0);
  (void)web->wait();  // the shell goes last, for it takes what is left for its own
}

TEST_P(Completion, LeavesTheWrappedCommandToItsOwnCompletion) {
  CompletingShell shell(GetParam());
  EXPECT_THAT(shell.offered("reapctl run printen"), Contains("printenv"));
  EXPECT_THAT(shell.offered("reapctl run -- printen"), Contains("printenv"));
  EXPECT_EQ(shell.offered("reapctl run -- ls --almo"), Words{"--almost-all"});
  EXPECT_EQ(shell.offered("reapctl run -t 5s --scope=main --no-guard ls --almo"), Words{"--almost-all"});
  EXPECT_THAT(shell.offered("reapctl run -- ls --"), AllOf(Contains("--almost-all"), Not(Contains("--ladder"))));
  EXPECT_EQ(shell.offered("reapctl run -- reapctl run --ladd"), Words{"--ladder"});
}

}  // namespace
}  // namespace reapctl::test
