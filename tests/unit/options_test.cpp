#include "cli/options.hpp"

#include "support/scoped_variable.hpp"

#include <algorithm>
#include <array>
#include <set>

#include <CLI/CLI.hpp>
#include <gmock/gmock.h>

namespace reapctl::cli {
namespace {

using test::ScopedVariable;
using ::testing::ElementsAre;

constexpr OptionRow kTunes{"stop-timeout", 0, "DUR", "", "", true};
constexpr OptionRow kNames{"name", 'n', "NAME", "", "", false};
constexpr OptionRow kFlag{"quiet", 'q', "", "", "", false};
constexpr OptionRow kOptional{"close-fds", 0, "N", "", "", false, false, true};

std::vector<std::string> texts(const GivenOptions& given, const std::string& name) {
  std::vector<std::string> all;
  for (const auto& value : given.all(name)) all.push_back(value.text);
  return all;
}

TEST(GivenOptionsTest, TheLastOneCounts) {
  GivenOptions given;
  EXPECT_FALSE(given.has("name"));
  EXPECT_FALSE(given.last("name"));
  EXPECT_FALSE(given.has_on_command_line("name"));
  given.add("name", "a");
  given.add("name", "b");
  EXPECT_TRUE(given.has("name"));
  EXPECT_EQ(given.last("name")->text, "b");
  EXPECT_EQ(given.last("name")->source, "--name");
  EXPECT_THAT(texts(given, "name"), ElementsAre("a", "b"));
}

TEST(GivenOptionsTest, TheEnvironmentFillsInWhatTheCommandLineDoesNotSay) {
  const ScopedVariable variable("REAPCTL_OPT_STOP_TIMEOUT", "8s");
  GivenOptions given;
  given.add_from_environment(kTunes);
  EXPECT_EQ(given.last("stop-timeout")->text, "8s");
  EXPECT_EQ(given.last("stop-timeout")->source, "REAPCTL_OPT_STOP_TIMEOUT") << "for messages";
  EXPECT_FALSE(given.has_on_command_line("stop-timeout"));

  GivenOptions said;
  said.add("stop-timeout", "1s");
  said.add_from_environment(kTunes);
  EXPECT_THAT(texts(said, "stop-timeout"), ElementsAre("1s"));
  EXPECT_TRUE(said.has_on_command_line("stop-timeout"));
}

TEST(GivenOptionsTest, AnEmptyOrAbsentVariableIsNone) {
  GivenOptions given;
  {
    const ScopedVariable variable("REAPCTL_OPT_STOP_TIMEOUT", "");
    given.add_from_environment(kTunes);
  }
  const ScopedVariable variable("REAPCTL_OPT_STOP_TIMEOUT", nullptr);
  given.add_from_environment(kTunes);
  EXPECT_FALSE(given.has("stop-timeout"));
}

TEST(GivenOptionsTest, OnlyOptionsThatTuneHaveAnEnvironmentForm) {
  const ScopedVariable variable("REAPCTL_OPT_NAME", "x");
  GivenOptions given;
  given.add_from_environment(kNames);
  EXPECT_FALSE(given.has("name"));
}

/// What CLI11 makes of these words.
GivenOptions parsed(std::vector<std::string> words) {
  GivenOptions given;
  CLI::App app;
  const std::vector<const OptionRow*> rows = {&kTunes, &kNames, &kFlag, &kOptional, &kNames};
  add_options(app, rows, given);
  std::reverse(words.begin(), words.end());
  app.parse(std::move(words));
  return given;
}

TEST(AddOptions, TakesValuesAsTheyAre) {
  for (const char* value : {"[a,b]", "a,b", "-5", "--quiet", "--", "", " ", "\"q\"", "%%", "true"}) {
    EXPECT_THAT(texts(parsed({"--name", value, "-q"}), "name"), ElementsAre(value));
    EXPECT_TRUE(parsed({"--name", value, "-q"}).has("quiet")) << value;
  }
}

TEST(AddOptions, TakesOneValueAnOccurrence) {
  const auto given = parsed({"--name", "a", "-n", "b", "-nc"});
  EXPECT_THAT(texts(given, "name"), ElementsAre("a", "b", "c"));
  EXPECT_THROW((void)parsed({"--name", "a", "b"}), CLI::ParseError);
  EXPECT_THROW((void)parsed({"--name"}), CLI::ParseError);
}

TEST(AddOptions, AFlagTakesNone) {
  EXPECT_TRUE(parsed({"--quiet"}).has("quiet"));
  EXPECT_FALSE(parsed({}).has("quiet"));
}

TEST(AddOptions, AnOptionalValueMayBeMissing) {
  EXPECT_THAT(texts(parsed({"--close-fds"}), "close-fds"), ElementsAre(""));
  EXPECT_THAT(texts(parsed({"--close-fds=3"}), "close-fds"), ElementsAre("3"));
  EXPECT_TRUE(parsed({"--close-fds", "--quiet"}).has("quiet"));
}

/// The table itself.
TEST(OptionRows, HaveNamesAndLettersOfTheirOwn) {
  std::set<std::string_view> names;
  std::set<char> letters;
  for (const auto rows : {run_option_rows(), global_option_rows()}) {
    for (const OptionRow& row : rows) {
      EXPECT_TRUE(names.insert(row.name).second) << row.name;
      if (row.letter == 0) continue;
      EXPECT_TRUE(letters.insert(row.letter).second) << row.letter;
    }
  }
}

TEST(OptionRows, NeitherNameNorLockNorRemoveComesFromTheEnvironment) {
  for (const OptionRow& row : run_option_rows()) {
    const bool names_something = row.name == "name" || row.name == "lock" || row.name == "remove";
    EXPECT_FALSE(names_something && row.environment) << row.name;
  }
}

}  // namespace
}  // namespace reapctl::cli
