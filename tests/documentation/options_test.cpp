#include "cli/options.hpp"

#include "documentation/help.hpp"
#include "documentation/manual.hpp"
#include "support/reapctl.hpp"

#include <algorithm>
#include <filesystem>
#include <set>
#include <sstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

/// The manual names every option, and nothing that is not one.
namespace reapctl::test {

/// For gmock's messages.
void PrintTo(const HelpOption& option, std::ostream* out) {
  *out << option.names << " " << option.value;
}

namespace {

using testing::ContainerEq;

/// ".It Fl t , Fl Fl timeout Ar DUR": an entry of a list of options. Entries of other lists have no Fl.
std::optional<HelpOption> option_in(const std::string& line) {
  if (!line.starts_with(".It Fl ")) return std::nullopt;
  std::istringstream words(line.substr(4));
  HelpOption option;
  std::string letter;
  for (std::string word; words >> word;) {
    if (word == "Ar") {
      words >> option.value;
    } else if (word == "Fl") {
      words >> word;
      if (word == "Fl") {
        words >> word;
        option.names = "--" + word;
      } else {
        letter = " -" + word;
      }
    }
  }
  option.names += letter;
  return option;
}

/// A command has a page of its own, or a subsection of reapctl(1). "" is for what every command takes.
std::set<HelpOption> manual_options(const std::string& command) {
  const std::string own_page = "reapctl-" + command + ".1";
  const bool has_page = std::filesystem::exists(page_path(own_page));
  std::set<HelpOption> options;
  for (const ManualLine& line : lines_of(has_page ? own_page : "reapctl.1")) {
    if (line.section != "OPTIONS") continue;
    if (!has_page && line.subsection != (command.empty() ? "" : "reapctl " + command)) continue;
    if (auto option = option_in(line.text)) {
      EXPECT_TRUE(options.insert(*option).second) << "twice in the manual: " << option->names;
    }
  }
  return options;
}

TEST(Manual, HasEveryOptionOfEveryCommandAndNoOther) {
  EXPECT_THAT(manual_options(""), ContainerEq(help_options("")));
  for (const std::string& command : help_commands()) {
    EXPECT_THAT(manual_options(command), ContainerEq(help_options(command))) << "reapctl " << command;
  }
}

TEST(Help, ShowsThatAValueWhichMayBeLeftOutNeedsAnEqualsSign) {
  EXPECT_THAT(run({.args = {"run", "--help"}}).out, testing::HasSubstr(" --close-fds[=except:N,...] "));
}

TEST(Manual, HasEveryCommandAndNoOther) {
  std::vector<std::string> commands;
  for (const ManualLine& line : lines_of("reapctl.1")) {
    if (line.section == "DESCRIPTION" && line.text.starts_with(".It Cm ")) commands.push_back(line.text.substr(7));
  }
  EXPECT_EQ(commands, help_commands());
}

TEST(Manual, NamesTheOptionsThatHaveAnEnvironmentForm) {
  std::set<std::string> expected{"guard"};  // the other way round: --no-guard has no value
  for (const auto rows : {cli::run_option_rows(), cli::global_option_rows()}) {
    for (const cli::OptionRow& row : rows) {
      if (row.environment && row.name != "registry") expected.insert(std::string(row.name));
    }
  }
  std::set<std::string> found;
  bool in_item = false;
  for (const ManualLine& line : lines_of("reapctl-run.1")) {
    if (line.text.starts_with(".It ")) in_item = line.text == ".It Ev REAPCTL_OPT_ Ns Ar OPTION";
    if (!in_item) continue;
    std::istringstream words(line.text);
    std::string word;
    words >> word;
    if (word == ".Ev" && line.text == ".Ev REAPCTL_OPT_GUARD") found.insert("guard");
    if (word != ".Cm") continue;
    while (words >> word) {
      if (word != "," && word != "on" && word != "off" && word != ".") found.insert(word);
    }
  }
  EXPECT_EQ(found, expected);
}

}  // namespace
}  // namespace reapctl::test
