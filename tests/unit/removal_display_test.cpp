#include "core/removal_display.hpp"

#include <gtest/gtest.h>

namespace reapctl::core {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint kBegun{1h};

TEST(RemovalDisplay, SaysNothingOfWhatTakesNoLongerThanASecond) {
  RemovalDisplay display(kBegun);
  EXPECT_EQ(display.next(), kBegun + 1s);
  EXPECT_EQ(display.line(kBegun, 0), std::nullopt);
  EXPECT_EQ(display.line(kBegun + 999ms, 5000), std::nullopt);
  EXPECT_EQ(display.next(), kBegun + 1s) << "an early look changes nothing";
}

TEST(RemovalDisplay, TellsFilesAndTheRateSinceTheLineBefore) {
  RemovalDisplay display(kBegun);
  EXPECT_EQ(display.line(kBegun + 2s, 5000), "reapctl: deleting the working directory: 5000 files, 2500/s");
  EXPECT_EQ(display.next(), kBegun + 2s + RemovalDisplay::kInterval);
  EXPECT_EQ(display.line(display.next() - 1ms, 5100), std::nullopt);
  EXPECT_EQ(display.line(kBegun + 2500ms, 5100), "reapctl: deleting the working directory: 5100 files, 200/s");
}

TEST(RemovalDisplay, ThePatienceIsTheCallers) {
  RemovalDisplay display(kBegun, 0ms);
  EXPECT_EQ(display.line(kBegun, 7), "reapctl: deleting the working directory: 7 files, 7000/s");
}

}  // namespace
}  // namespace reapctl::core
