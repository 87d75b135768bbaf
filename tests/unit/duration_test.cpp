#include "core/duration.hpp"

#include <string>

#include <gtest/gtest.h>

namespace reapctl::core {
namespace {

long long millis(const std::string& text) {
  const auto duration = parse_duration(text);
  return duration ? static_cast<long long>(duration->count()) : -1;
}

TEST(Duration, KnowsItsUnits) {
  EXPECT_EQ(millis("250ms"), 250);
  EXPECT_EQ(millis("5s"), 5000);
  EXPECT_EQ(millis("2m"), 120'000);
  EXPECT_EQ(millis("1.5h"), 5'400'000);
  EXPECT_EQ(millis("2d"), 172'800'000);
}

TEST(Duration, ABareNumberIsSeconds) {
  EXPECT_EQ(millis("7"), 7000);
  EXPECT_EQ(millis("0.5"), 500);
  EXPECT_EQ(millis(".5"), 500);
  EXPECT_EQ(millis("007"), 7000);
}

TEST(Duration, OnlyZeroIsZero) {
  EXPECT_EQ(millis("0"), 0);
  EXPECT_EQ(millis("0.000ms"), 0);
  EXPECT_EQ(millis("0d"), 0);
  EXPECT_EQ(millis("0.0001ms"), 1);
  EXPECT_EQ(millis("0.0001"), 1);
}

TEST(Duration, ADecimalFractionOfASecondIsExact) {
  // Each of these times 1000 is a little more or less than a whole number in binary.
  for (int expected = 1; expected < 10'000; ++expected) {
    std::string text = std::to_string(expected / 1000) + "." + std::to_string(1000 + expected % 1000).substr(1);
    ASSERT_EQ(millis(text), expected) << text;
  }
}

TEST(Duration, EndsAtTenYears) {
  EXPECT_EQ(millis("3650d"), 315'360'000'000);
  EXPECT_EQ(millis("315360000000ms"), 315'360'000'000);
  for (const std::string& text : {std::string("3651d"), std::string("315360000001ms"), std::string(400, '9')}) {
    const auto duration = parse_duration(text);
    ASSERT_FALSE(duration) << text;
    EXPECT_EQ(duration.error().operation, "expected at most 3650d") << text;
  }
}

TEST(Duration, RefusesNonsense) {
  for (const char* text : {"",      "s",   "ms",   "-1",  "+1",  "-0",  " 1",   "1 ",   "1 s", "5S", "5sec", "5s5",
                           "1h30m", "1e3", "0x10", "inf", "nan", "1,5", "1..5", "1.5.", ".",   ".s", "5\n"}) {
    const auto duration = parse_duration(text);
    ASSERT_FALSE(duration) << '"' << text << '"';
    EXPECT_NE(duration.error().operation.find("such as 250ms"), std::string::npos) << text;
  }
}

}  // namespace
}  // namespace reapctl::core
