#include "core/signal_name.hpp"

#include <csignal>

#include <gtest/gtest.h>

namespace reapctl::core {
namespace {

TEST(SignalName, NamesHaveNoPrefix) {
  EXPECT_EQ(signal_name(SIGINT), "INT");
  EXPECT_EQ(signal_name(SIGKILL), "KILL");
  EXPECT_EQ(signal_name(SIGRTMIN), "RTMIN");
  EXPECT_EQ(signal_name(SIGRTMIN + 3), "RTMIN+3");
}

TEST(SignalName, WhatIsNoSignalStaysANumber) {
  EXPECT_EQ(signal_name(0), "0");
  EXPECT_EQ(signal_name(32), "32");
  EXPECT_EQ(signal_name(65), "65");
  EXPECT_EQ(signal_name(-1), "-1");
}

TEST(SignalName, EverySignalIsParsedBackFromItsName) {
  for (int signal = 1; signal <= SIGRTMAX; ++signal) {
    if (signal > 31 && signal < SIGRTMIN) continue;
    EXPECT_EQ(parse_signal(signal_name(signal)), signal);
    EXPECT_EQ(parse_signal("SIG" + signal_name(signal)), signal);
    EXPECT_EQ(parse_signal(std::to_string(signal)), signal);
  }
}

TEST(SignalName, ParsesWhatPeopleWrite) {
  EXPECT_EQ(parse_signal("int"), SIGINT);
  EXPECT_EQ(parse_signal("SigTerm"), SIGTERM);
  EXPECT_EQ(parse_signal("9"), SIGKILL);
  EXPECT_EQ(parse_signal("RTMAX"), SIGRTMAX);
  EXPECT_EQ(parse_signal("sigrtmax-1"), SIGRTMAX - 1);
  EXPECT_EQ(parse_signal("RTMIN+0"), SIGRTMIN);
  EXPECT_EQ(parse_signal("IOT"), SIGABRT);
  EXPECT_EQ(parse_signal("CLD"), SIGCHLD);
  EXPECT_EQ(parse_signal("IO"), parse_signal("POLL"));
}

TEST(SignalName, RejectsNonsense) {
  for (const char* text : {"",
                           "0",
                           "32",
                           "33",
                           "65",
                           "-1",
                           "+2",
                           " 2",
                           "2 ",
                           "2x",
                           "SIG",
                           "SIG2",
                           "SIGSIGINT",
                           "INTT",
                           "FOO",
                           "RTMIN-1",
                           "RTMAX+1",
                           "RTMIN+",
                           "RTMIN+31",
                           "RTMAX-31",
                           "RTMIN+99999999999",
                           "99999999999999999999",
                           "RTMIN 1",
                           "RTMIN+-1"}) {
    EXPECT_EQ(parse_signal(text), std::nullopt) << '"' << text << '"';
  }
  EXPECT_EQ(parse_signal(std::string_view("INT\0", 4)), std::nullopt);
}

}  // namespace
}  // namespace reapctl::core
