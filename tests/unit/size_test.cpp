#include "core/size.hpp"

#include <gmock/gmock.h>

namespace reapctl::core {
namespace {

using ::testing::HasSubstr;

constexpr std::uint64_t kLimit = std::uint64_t{16} << 20U;

TEST(ParseSize, TakesBytesAndPowersOf1024) {
  EXPECT_EQ(*parse_size("0", kLimit), 0U);
  EXPECT_EQ(*parse_size("512", kLimit), 512U);
  EXPECT_EQ(*parse_size("64k", kLimit), 65536U);
  EXPECT_EQ(*parse_size("64K", kLimit), 65536U);
  EXPECT_EQ(*parse_size("16M", kLimit), kLimit);
  EXPECT_EQ(*parse_size("1G", std::uint64_t{1} << 30U), std::uint64_t{1} << 30U);
}

TEST(ParseSize, RefusesNonsenseNegativesAndOverflow) {
  for (const char* text : {"", "k", "-1", "+1", "1.5k", "1kk", "1 k", "0x10", "1m", "k1"}) {
    const auto size = parse_size(text, kLimit);
    ASSERT_FALSE(size) << text;
    EXPECT_THAT(size.error().message(), HasSubstr("such as 64k")) << text;
  }
  for (const char* text : {"17M", "16777217", "1G", "99999999999999999999", "18446744073709551615G"}) {
    const auto size = parse_size(text, kLimit);
    ASSERT_FALSE(size) << text;
    EXPECT_THAT(size.error().message(), HasSubstr("at most 16M")) << text;
  }
}

}  // namespace
}  // namespace reapctl::core
