#include "documentation/help.hpp"

#include "support/reapctl.hpp"

#include <regex>
#include <sstream>

#include <gtest/gtest.h>

namespace reapctl::test {
namespace {

std::string help_of(const std::string& command) {
  Args args = command.empty() ? Args{"--help"} : Args{command, "--help"};
  const Outcome outcome = run({.args = std::move(args), .leaves_processes = true});  // the shell that a test asks
  EXPECT_EQ(outcome.code(), 0) << command << outcome.err;
  return outcome.out;
}

std::set<HelpOption> all_options(const std::string& command) {
  static const std::regex kLine("^  (?:(-\\w),)?(--[\\w-]+)( \\S+(?: \\S+)*?|\\[=\\S+\\])?(?:\\s{2,}.*)?$");
  std::set<HelpOption> options;
  std::istringstream help(help_of(command));
  std::smatch match;
  for (std::string line; std::getline(help, line);) {
    if (!std::regex_match(line, match, kLine)) continue;
    options.insert({.names = match[2].str() + (match[1].matched ? " " + match[1].str() : ""), .value = match[3].str()});
  }
  EXPECT_FALSE(options.empty()) << command;
  return options;
}

}  // namespace

std::vector<std::string> help_commands() {
  std::vector<std::string> commands;
  std::istringstream help(help_of(""));
  std::string line;
  while (std::getline(help, line) && line != "Subcommands:") continue;
  while (std::getline(help, line) && line.starts_with("  ")) commands.push_back(line.substr(2, line.find(' ', 2) - 2));
  EXPECT_FALSE(commands.empty());
  return commands;
}

std::set<HelpOption> help_options(const std::string& command) {
  std::set<HelpOption> options = all_options(command);
  if (command.empty()) return options;
  for (const HelpOption& global : all_options("")) EXPECT_EQ(options.erase(global), 1U) << command << global.names;
  return options;
}

std::set<std::string> help_words(const std::string& command) {
  std::set<std::string> words;
  for (const HelpOption& option : all_options(command)) {
    std::istringstream names(option.names);
    for (std::string name; names >> name;) words.insert(name);
  }
  return words;
}

}  // namespace reapctl::test
