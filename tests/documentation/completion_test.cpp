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

  /// An active run "web", and "lost", an orphan.
  void set_the_scene() {
    web_ = start("web", {}, {"--name", "web"});
    const auto lost = start("lost", {}, {"--name", "lost"});
    const auto mains = roster_.await_roles({"web", "lost"});
    orphan(*lost, mains.at("lost"));
  }

  /// Where a word may be the name of a file to be written.
  Outcome in_a_directory_of_its_own(const Args& args) {
    return run({.args = args, .env = environment_, .cwd = directory_.path(), .leaves_processes = true});
  }

  /// Before the shell goes: it takes what is left for its own.
  void clear_the_scene(const std::vector<Reapctl*>& others = {}) {
    EXPECT_EQ(reapctl({"sweep", "--include-active"}).code(), 0);
    (void)web_->wait();
    for (Reapctl* other : others) (void)other->wait();
  }

  std::map<std::string, std::string> ids_by_name() {
    std::map<std::string, std::string> ids;
    const auto list = nlohmann::json::parse(reapctl({"list", "--json"}).out);
    for (const auto& run : list["runs"]) ids[run["name"]] = run["run_id"];
    return ids;
  }

  std::unique_ptr<Reapctl> web_;
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
      const std::string name = option.long_name();
      if (option.value.empty() || name == "--registry") continue;
      Args args{command.empty() ? "list" : command, name, "%"};
      if (command == "run") args.insert(args.end(), {"--", "true"});
      const Words expected = allowed(name, in_a_directory_of_its_own(args));
      if (expected.empty()) continue;
      EXPECT_EQ(shell.offered("reapctl " + args[0] + " " + name + " "), expected) << args[0] << " " << name;
      ++compared;
    }
  }
  EXPECT_GT(compared, 5);
  EXPECT_EQ(shell.offered("reapctl schema "), allowed("schema", reapctl({"schema", "%"})));
}

/// After an option that takes a value what it offers for the next word belongs to that; after any other it is what the
/// command itself takes.
void expect_value_form(CompletingShell& shell, const std::string& command, const HelpOption& option,
                       const std::string& operand_typed, const std::string& operand) {
  std::istringstream names(option.names);
  for (std::string name; names >> name;) {
    const std::string line = "reapctl " + command + " " + name + " ";
    if (option.needs_value()) {
      EXPECT_THAT(shell.offered(line + operand_typed), Not(Contains(operand))) << line << "takes a value";
      EXPECT_THAT(shell.offered(line + "1 " + operand_typed), Contains(operand)) << line << "takes one value";
    } else {
      EXPECT_THAT(shell.offered(line + operand_typed), Contains(operand)) << line << "takes no value";
    }
  }
}

TEST_P(Completion, KnowsWhichOptionsTakeAValue) {
  set_the_scene();
  const auto ids = ids_by_name();
  const ScopedVariable registry("REAPCTL_REGISTRY", registry_.c_str());
  CompletingShell shell(GetParam());
  for (const std::string& command : help_commands()) {
    std::set<HelpOption> options = help_options(command);
    options.merge(help_options(""));
    for (const HelpOption& option : options) {
      if (option.names == "--help -h" || option.names == "--version -V" || option.long_name() == "--registry") continue;
      if (command == "run") expect_value_form(shell, command, option, "printen", "printenv");
      if (command == "sweep") expect_value_form(shell, command, option, "", ids.at("lost"));
      if (command == "show" || command == "stop") expect_value_form(shell, command, option, "", ids.at("web"));
      if (command == "schema") expect_value_form(shell, command, option, "rep", "report");
      if ((command == "list" || command == "doctor") && option.value.empty()) {
        expect_value_form(shell, command, option, "--form", "--format");
      }
    }
  }
  EXPECT_EQ(shell.offered("reapctl run --close-fds="), shell.offered("reapctl run --no-guard --close-fds=ex"));
  EXPECT_THAT(shell.offered("reapctl run --close-fds="), Contains(testing::HasSubstr("except:")));
  clear_the_scene();
}

TEST_P(Completion, OffersSignals) {
  CompletingShell shell(GetParam());
  EXPECT_THAT(shell.offered("reapctl run -s "), AllOf(Contains("INT"), Contains("TERM"), Not(Contains("SIGINT"))));
  EXPECT_THAT(shell.offered("reapctl run -sUS"), Contains(AnyOf("-sUSR1", "USR1")));
  EXPECT_THAT(shell.offered("reapctl run --stop-on HUP,US"), Contains(AnyOf("HUP,USR1", "USR1")));
  EXPECT_THAT(shell.offered("reapctl run --map USR1:US"), Contains(AnyOf("USR1:USR2", "USR2")));
}

TEST_P(Completion, OffersTheRunsOnRecord) {
  set_the_scene();
  const auto odd = start("odd", {}, {"--name", "it's my$run"});
  const auto escaped = start("escaped", {}, {"--name", "quo\"te"});
  (void)roster_.await_roles({"odd", "escaped"});
  const auto ids = ids_by_name();
  const ScopedVariable registry("REAPCTL_REGISTRY", registry_.c_str());
  CompletingShell shell(GetParam());
  // fish says what it is before it quotes it, the others what they type.
  const std::string quoted = GetParam() == std::string("fish") ? "it's my$run" : R"(it\'s\ my\$run)";
  EXPECT_EQ(shell.offered("reapctl stop "), (Words{ids.at("web"), ids.at("it's my$run"), ids.at("quo\"te")}));
  EXPECT_EQ(shell.offered("reapctl sweep "), Words{ids.at("lost")});
  EXPECT_THAT(shell.offered("reapctl show "), AllOf(Contains(ids.at("web")), Contains(ids.at("lost"))));
  EXPECT_EQ(shell.offered("reapctl stop --name "), (Words{"web", quoted}));
  EXPECT_EQ(shell.offered("reapctl sweep --name "), (Words{"lost", "web", quoted}));
  clear_the_scene({odd.get(), escaped.get()});
}

TEST_P(Completion, IsSilentWhereThereAreNoRunsAndNoReapctl) {
  const ScopedVariable registry("REAPCTL_REGISTRY", "/nonexistent/registry");
  CompletingShell shell(GetParam());
  EXPECT_EQ(shell.offered("reapctl stop "), Words{});
  EXPECT_EQ(shell.offered("nonexistent/reapctl stop "), Words{});
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
