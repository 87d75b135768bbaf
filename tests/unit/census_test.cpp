#include "engine/census.hpp"

#include "support/fake_proc.hpp"

#include <filesystem>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace reapctl::engine {
namespace {

using namespace std::string_literals;
using ::testing::ElementsAre;
using testing::FakeProc;
using testing::FakeStat;
using ::testing::IsEmpty;
using testing::stat_line;

constexpr char kCookie[] = "REAPCTL_COOKIE_00112233445566AA=1";

/// One process, which carries a cookie when it is seen first, and has lost its environment before it is seen again.
class Memory : public ::testing::Test {
 protected:
  Memory() : fake_{{"7/stat", stat_line(kFirst)}, {"7/environ", "A=1\0"s + kCookie + "\0"s}} {
    EXPECT_THAT(cookies(), ElementsAre("00112233445566AA"));
    fake_.put({"7/environ", ""});
  }

  std::vector<std::string> cookies() {
    const ProcessCensus census = take_census(proc_, 0, memory_);
    EXPECT_EQ(census.processes.size(), 1U);
    return census.processes.at(0).cookies;
  }

  static constexpr FakeStat kFirst = {.pid = 7, .start_ticks = 600, .environment_begin = 1000, .environment_end = 2000};

  FakeProc fake_;
  proc::ProcFs proc_{fake_.root()};
  EnvironmentMemory memory_;
};

TEST_F(Memory, AnEnvironmentIsReadOnce) {
  EXPECT_THAT(cookies(), ElementsAre("00112233445566AA"));
  std::filesystem::remove(fake_.root() + "/7/environ");
  EXPECT_THAT(cookies(), ElementsAre("00112233445566AA"));
}

TEST_F(Memory, AfterAnExecItIsReadAgain) {
  FakeStat after = kFirst;
  after.environment_begin = 1024;
  fake_.put({"7/stat", stat_line(after)});
  EXPECT_THAT(cookies(), IsEmpty());
  fake_.put({"7/environ", kCookie + "\0"s});
  EXPECT_THAT(cookies(), IsEmpty()) << "this one was remembered, too";
  after.environment_end = 1500;
  fake_.put({"7/stat", stat_line(after)});
  EXPECT_THAT(cookies(), ElementsAre("00112233445566AA"));
}

TEST_F(Memory, AnotherProcessOfTheSamePidIsAnother) {
  FakeStat other = kFirst;
  other.start_ticks = 601;
  fake_.put({"7/stat", stat_line(other)});
  EXPECT_THAT(cookies(), IsEmpty());
}

TEST_F(Memory, InTheMiddleOfAnExecNothingIsRemembered) {
  FakeStat nowhere = kFirst;
  nowhere.environment_begin = nowhere.environment_end = 0;
  fake_.put({"7/stat", stat_line(nowhere)});
  EXPECT_THAT(cookies(), IsEmpty());
  fake_.put({"7/environ", kCookie + "\0"s});
  EXPECT_THAT(cookies(), ElementsAre("00112233445566AA"));
}

}  // namespace
}  // namespace reapctl::engine
