#include "cli/options.hpp"

#include "documentation/help.hpp"
#include "documentation/manual.hpp"
#include "support/reapctl.hpp"

#include <algorithm>
#include <filesystem>
#include <map>
#include <regex>
#include <set>
#include <span>
#include <sstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

/// The manual names every option, and nothing that is not one.
namespace reapctl::test {

/// For gmock's messages.
void PrintTo(const HelpOption& option, std::ostream* out) {
  *out << option.names << option.value;
}

namespace {

using testing::ContainerEq;

/// An entry of a list of options: ".It Fl t , Fl Fl timeout Ar DUR", or ".It Fl Fl close-fds Ns Op = Ns Ar N" where the
/// value may be left out. Entries of other lists have no Fl.
std::optional<HelpOption> option_in(const std::string& line) {
  if (!line.starts_with(".It Fl ")) return std::nullopt;
  static const std::regex kItem(R"(\.It (?:Fl (\w) , )?Fl Fl ([\w-]+)( Ns Op = Ns)?(?: Ar (\S+))?)");
  std::smatch match;
  if (!std::regex_match(line, match, kItem)) {
    ADD_FAILURE() << "not the way in which options are written: " << line;
    return std::nullopt;
  }
  const std::string value = match[4].str();
  HelpOption option{.names = "--" + match[2].str() + (match[1].matched ? " -" + match[1].str() : ""), .value = ""};
  if (!value.empty()) option.value = match[3].matched ? "[=" + value + "]" : " " + value;
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

/// The help is the truth for all others, so it is held against the table of options itself.
TEST(Help, HasEveryOptionWithTheFormOfItsValue) {
  for (const auto& [command, rows] :
       std::map<std::string, std::span<const cli::OptionRow>>{{"", cli::global_option_rows()},
                                                              {"run", cli::run_option_rows()},
                                                              {"sweep", cli::sweep_option_rows()},
                                                              {"list", cli::list_option_rows()},
                                                              {"show", cli::show_option_rows()},
                                                              {"stop", cli::stop_option_rows()},
                                                              {"doctor", cli::doctor_option_rows()},
                                                              {"schema", {}}}) {
    std::set<HelpOption> expected;
    for (const cli::OptionRow& row : rows) {
      const std::string value = row.value;
      expected.insert({.names = "--" + std::string(row.name) + (row.letter == 0 ? "" : std::string(" -") + row.letter),
                       .value = value.empty()        ? ""
                                : row.value_optional ? "[=" + value + "]"
                                                     : " " + value});
    }
    EXPECT_THAT(help_options(command), ContainerEq(expected)) << command;
  }
  EXPECT_THAT(help_options("run"), testing::Contains(HelpOption{.names = "--close-fds", .value = "[=except:N,...]"}));
}

/// Text beside the lists of options: a name that was changed or invented stands out.
TEST(Documentation, NamesNoOptionThatDoesNotExist) {
  std::set<std::string> known = {"--bind",        "--component", "--create", "--die-with-parent",
                                 "--full",        "--install",   "--now",    "--prefix",
                                 "--unshare-pid", "--user",      "--wait"};  // of other programs
  known.merge(help_words(""));
  for (const std::string& command : help_commands()) known.merge(help_words(command));
  std::set<std::string> files = {"README.md", "ARCHITECTURE.md"};
  for (const std::string& page : pages()) files.insert("man/" + page);
  static const std::regex kOption("(?:--|Fl Fl )([a-z][a-z-]*)");
  for (const std::string& file : files) {
    const std::string text = read_file(std::string(REAPCTL_TEST_SOURCE) + "/" + file);
    ASSERT_FALSE(text.empty()) << file;
    for (std::sregex_iterator found(text.begin(), text.end(), kOption), end; found != end; ++found) {
      EXPECT_THAT(known, testing::Contains("--" + (*found)[1].str())) << file;
    }
  }
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
