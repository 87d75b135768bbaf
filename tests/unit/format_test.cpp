#include "core/format.hpp"

#include <limits>

#include <gtest/gtest.h>

namespace reapctl::core {
namespace {

using namespace std::chrono_literals;

TEST(Format, TimesAreRfc3339InUtc) {
  const WallTime epoch;
  EXPECT_EQ(rfc3339(epoch), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(rfc3339(epoch - 1ms), "1969-12-31T23:59:59.999Z");
  EXPECT_EQ(rfc3339(epoch + 1'795'248'000s + 123'999us), "2026-11-21T08:00:00.123Z");
  EXPECT_EQ(rfc3339(epoch + 951'782'400s), "2000-02-29T00:00:00.000Z");
}

TEST(Format, DurationsForPeople) {
  EXPECT_EQ(human_duration(-1s), "0ms");
  EXPECT_EQ(human_duration(250ms), "250ms");
  EXPECT_EQ(human_duration(999ms), "999ms");
  EXPECT_EQ(human_duration(5s), "5.0s");
  EXPECT_EQ(human_duration(59'999ms), "59.9s");
  EXPECT_EQ(human_duration(10min), "10m00s");
  EXPECT_EQ(human_duration(2h + 5min + 59s), "2h05m");
  EXPECT_EQ(human_duration(76h), "3d04h");
}

TEST(Format, SizesForPeople) {
  EXPECT_EQ(human_bytes(-5), "0 B");
  EXPECT_EQ(human_bytes(999), "999 B");
  EXPECT_EQ(human_bytes(1000), "1.0 kB");
  EXPECT_EQ(human_bytes(9'999'999), "9.9 MB");
  EXPECT_EQ(human_bytes(540'900'000), "540 MB");
  EXPECT_EQ(human_bytes(1'200'000'000), "1.2 GB");
  EXPECT_EQ(human_bytes(std::numeric_limits<std::int64_t>::max()), "9.2 EB");
}

}  // namespace
}  // namespace reapctl::core
