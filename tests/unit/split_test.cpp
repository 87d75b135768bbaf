#include "cli/split.hpp"

#include <array>

#include <gmock/gmock.h>

namespace reapctl::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Words = std::vector<std::string>;

constexpr std::array kRows = {
    OptionRow{"timeout", 't', "DUR", "", "", true},
    OptionRow{"quiet", 'q', "", "", "", false},
    OptionRow{"verbose", 'v', "", "", "", false},
    OptionRow{"close-fds", 0, "N", "", "", false, false, true},
};

SplitArguments split(const Words& words) {
  auto result = split_command(kRows, words);
  EXPECT_TRUE(result) << ::testing::PrintToString(words);
  return result ? result.take() : SplitArguments{};
}

std::string refusal(const Words& words) {
  const auto result = split_command(kRows, words);
  EXPECT_FALSE(result) << ::testing::PrintToString(words);
  return result ? std::string() : result.error().message();
}

Words mentioned(const Words& words) {
  Words names;
  for (const OptionRow* row : split(words).mentioned) names.emplace_back(row->name);
  return names;
}

TEST(Split, NothingIsNothing) {
  EXPECT_THAT(split({}).options, IsEmpty());
  EXPECT_THAT(split({}).command, IsEmpty());
  EXPECT_THAT(split({"--"}).command, IsEmpty());
  EXPECT_THAT(split({"-q"}).command, IsEmpty());
}

TEST(Split, TheFirstWordThatIsNoOptionBeginsTheCommand) {
  const auto result = split({"-q", "--timeout", "5s", "make", "-q", "--timeout", "1"});
  EXPECT_THAT(result.options, ElementsAre("-q", "--timeout", "5s"));
  EXPECT_THAT(result.command, ElementsAre("make", "-q", "--timeout", "1"));
}

TEST(Split, SoDoesWhateverFollowsTwoDashes) {
  EXPECT_THAT(split({"-q", "--", "--timeout", "--"}).command, ElementsAre("--timeout", "--"));
  EXPECT_THAT(split({"--", "-x"}).command, ElementsAre("-x"));
  EXPECT_THAT(split({"make", "--", "x"}).command, ElementsAre("make", "--", "x"));
}

TEST(Split, TheCommandPassesThroughByteForByte) {
  const Words command = {"echo", "[a,b]", "-n", "--", "", "\xff\xfe", "a b", "--timeout=1", "{}", "-"};
  EXPECT_EQ(split(command).command, command);
  Words with_dashes = {"-q", "--"};
  with_dashes.insert(with_dashes.end(), command.begin(), command.end());
  EXPECT_EQ(split(with_dashes).command, command);
}

TEST(Split, ACommandMayBeEmptyOrADash) {
  EXPECT_THAT(split({"-q", "", "x"}).command, ElementsAre("", "x"));
  EXPECT_THAT(split({"-q", "-", "x"}).command, ElementsAre("-", "x"));
}

TEST(Split, AValueMayLookLikeAnythingElse) {
  for (const char* value : {"-q", "--", "--quiet", "make", "", "[a,b]", "--timeout"}) {
    const auto result = split({"--timeout", value, "make"});
    EXPECT_THAT(result.options, ElementsAre("--timeout", value));
    EXPECT_THAT(result.command, ElementsAre("make")) << value;
  }
  EXPECT_THAT(split({"-t", "--", "make"}).command, ElementsAre("make"));
}

TEST(Split, AnAttachedValueIsAWordOfItsOwn) {
  // CLI11 2.1.2 takes "--timeout=" for one without a value, and the next option for its value.
  EXPECT_THAT(split({"--timeout=5s", "make"}).options, ElementsAre("--timeout", "5s"));
  EXPECT_THAT(split({"--timeout=", "-q", "make"}).options, ElementsAre("--timeout", "", "-q"));
  EXPECT_THAT(split({"--timeout=a=b", "make"}).options, ElementsAre("--timeout", "a=b"));
}

TEST(Split, ShortOptionsMayBeJoined) {
  const auto joined = split({"-qv", "make"});
  EXPECT_THAT(joined.options, ElementsAre("-qv"));
  EXPECT_THAT(joined.command, ElementsAre("make"));
  EXPECT_THAT(split({"-qvt", "5s", "make"}).command, ElementsAre("make"));
  EXPECT_THAT(split({"-qt5s", "make"}).command, ElementsAre("make"));
  EXPECT_THAT(split({"-tq", "make"}).command, ElementsAre("make")) << "q is the value of t";
}

TEST(Split, AnOptionalValueIsOnlyAnAttachedOne) {
  EXPECT_THAT(split({"--close-fds", "make"}).command, ElementsAre("make"));
  EXPECT_THAT(split({"--close-fds", "make"}).options, ElementsAre("--close-fds"));
  EXPECT_THAT(split({"--close-fds=except:3", "make"}).options, ElementsAre("--close-fds=except:3"));
}

TEST(Split, AMissingValueIsLeftToTheParser) {
  EXPECT_THAT(split({"--timeout"}).options, ElementsAre("--timeout"));
  EXPECT_THAT(split({"-t"}).options, ElementsAre("-t"));
}

TEST(Split, RefusesWhatItDoesNotKnow) {
  EXPECT_THAT(refusal({"--nonsense", "make"}), HasSubstr("unknown option \"--nonsense\""));
  EXPECT_THAT(refusal({"--time", "5s"}), HasSubstr("unknown option \"--time\"")) << "no abbreviations";
  EXPECT_THAT(refusal({"-x", "make"}), HasSubstr("unknown option \"-x\""));
  EXPECT_THAT(refusal({"-qx", "make"}), HasSubstr("unknown option \"-qx\""));
  EXPECT_THAT(refusal({"--=5", "make"}), HasSubstr("unknown option \"--=5\""));
  EXPECT_THAT(refusal({"---", "make"}), HasSubstr("unknown option"));
  EXPECT_THAT(refusal({"-5", "make"}), HasSubstr("unknown option \"-5\""));
}

TEST(Split, RefusesAValueForAFlag) {
  EXPECT_THAT(refusal({"--quiet=yes", "make"}), HasSubstr("--quiet \"yes\": takes no value"));
  EXPECT_THAT(refusal({"--quiet=", "make"}), HasSubstr("takes no value"));
}

TEST(Split, TellsWhichOptionsWereMentioned) {
  EXPECT_THAT(mentioned({"-qt5s", "--close-fds=1", "--timeout", "--quiet", "make", "-v"}),
              ElementsAre("quiet", "timeout", "close-fds", "timeout"));
}

}  // namespace
}  // namespace reapctl::cli
