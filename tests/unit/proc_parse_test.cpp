#include "proc/parse.hpp"
#include "support/fake_proc.hpp"

#include <csignal>

#include <gmock/gmock.h>

namespace reapctl::proc {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(ParseStat, TakesEveryFieldFromItsPlace) {
  const auto stat = parse_stat(
      "4433 (redis-server) S 4410 4400 4399 34819 -1 4194560 1 2 3 4 700 42 8 9 20 0 6 0 122361 3133440 380 "
      "18446744\n");
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->id, (core::ProcessId{.pid = 4433, .start_ticks = 122361}));
  EXPECT_EQ(stat->comm, "redis-server");
  EXPECT_EQ(stat->state, 'S');
  EXPECT_EQ(stat->ppid, 4410);
  EXPECT_EQ(stat->pgid, 4400);
  EXPECT_EQ(stat->sid, 4399);
  EXPECT_EQ(stat->tty_nr, 34819);
  EXPECT_EQ(stat->cpu_ticks, 742);
  EXPECT_EQ(stat->threads, 6);
  EXPECT_EQ(stat->rss_pages, 380);
}

TEST(ParseStat, AnEnvironmentThatIsNotThereYetIsTheMiddleOfAnExec) {
  const auto line = [](const char* flags, const char* env_end) {
    return std::string("4433 (a) b) S 4410 4400 4399 34819 -1 ") + flags +
           " 1 2 3 4 700 42 8 9 20 0 6 0 122361 3133440 380 18446744 1 2 3 4 5 6 7 8 9 10 0 0 17 1 0 0 0 0 0 11 12 13 "
           "14 15 "
           "16 " +
           env_end + " 0\n";
  };
  EXPECT_TRUE(is_in_exec(line("4194560", "0")));
  EXPECT_FALSE(is_in_exec(line("4194560", "140724000000000"))) << "an empty one has an end too";
  EXPECT_FALSE(is_in_exec(line("2129984", "0"))) << "a thread of the kernel";
  EXPECT_FALSE(is_in_exec(line("4194564", "0"))) << "exiting";
  EXPECT_FALSE(is_in_exec("4433 (a) S 1 2 3\n"));
  EXPECT_FALSE(is_in_exec(""));
}

TEST(ParseStat, KnowsWhoIsEnding) {
  const auto line = [](const std::string& flags, const std::string& threads) {
    return "4433 (a) b) R 1 2 3 0 -1 " + flags + " 1 0 0 0 2 3 0 0 20 0 " + threads + " 0 77 0 0\n";
  };
  EXPECT_FALSE(is_ending(line("4194560", "1")));
  EXPECT_TRUE(is_ending(line("4194564", "1")));
  EXPECT_FALSE(is_ending(line("4194564", "2"))) << "only its first thread";
  EXPECT_FALSE(is_ending("4433 (a) R 1 2 3 0 -1 4194564 1 0\n"));
  EXPECT_FALSE(is_ending(""));
}

TEST(ParseStat, KnowsWhoIsDoomed) {
  const auto doomed = [](const std::string& flags, const std::string& pending, const std::string& exit_code = "0") {
    const auto stat =
        parse_stat("4433 (a) b) R 1 2 3 0 -1 " + flags +
                   " 256 256 256 256 2 3 256 256 256 256 3 256 77 256 256 256 256 256 256 256 256 " + pending +
                   " 256 256 256 256 256 256 256 256 0 0 0 0 0 256 256 256 256 256 256 256 " + exit_code + "\n");
    return stat.value().doomed;
  };
  EXPECT_FALSE(doomed("4194560", "0"));
  EXPECT_FALSE(doomed("4194560", "16384")) << "SIGTERM";
  EXPECT_TRUE(doomed("4194560", "256")) << "SIGKILL";
  EXPECT_TRUE(doomed("4194560", "262400")) << "SIGKILL and SIGSTOP";
  EXPECT_TRUE(doomed("4194564", "0")) << "exiting";
  EXPECT_TRUE(doomed("4195584", "0")) << "signaled: its core is being written";
  EXPECT_TRUE(doomed("4194560", "0", "9")) << "the signal is taken, and no flag is set yet";
  EXPECT_FALSE(doomed("4194560", "0", "19")) << "stopped";
  EXPECT_FALSE(doomed("4194560", "0", "2304")) << "exit(9)";
}

TEST(ParseStat, EndsTheCommAtTheLastParenthesis) {
  for (const std::string_view comm : {"a) R 1 1 1 (x", "a\nb", ")", "(", "", " ", "a) S 1", "\xff\xfe"}) {
    const auto stat = parse_stat(testing::stat_line({.pid = 12, .ppid = 7, .comm = comm}));
    ASSERT_TRUE(stat) << comm;
    EXPECT_EQ(stat->comm, comm);
    EXPECT_EQ(stat->ppid, 7) << comm;
    EXPECT_EQ(stat->state, 'S') << comm;
  }
}

TEST(ParseStat, RefusesALineThatBreaksOffRatherThanReadAShorterNumber) {
  const std::string line = testing::stat_line({.pid = 12, .ppid = 7});
  const std::size_t end_of_rss = line.find(" 18446744073709551615");
  for (std::size_t length = 0; length <= end_of_rss; ++length) {
    EXPECT_FALSE(parse_stat(line.substr(0, length))) << line.substr(0, length);
  }
  EXPECT_TRUE(parse_stat(line.substr(0, end_of_rss + 1)));
}

TEST(ParseStat, RefusesWhatIsNoStatLine) {
  for (const std::string_view text : {"", "\n", "12", "12 ()", "x (cmd) S 1", ") 12 (", "12 (cmd) SS 1 1 1 0 -1 0"}) {
    EXPECT_FALSE(parse_stat(text)) << text;
  }
  std::string line = testing::stat_line({.pid = 12, .ppid = 7});
  EXPECT_FALSE(parse_stat("-" + std::string(30, '9') + line.substr(2)));
  line.replace(line.find(" 150 50 "), 8, " 9223372036854775807 1 ");
  EXPECT_FALSE(parse_stat(line));
}

TEST(ParseSignalMasks, ReadsTheThreeMasks) {
  const auto masks = parse_signal_masks(
      "Name:\tx\nSigPnd:\t0000000000000001\nSigBlk:\t0000000000010000\nSigIgn:\t8000000000000002\n"
      "SigCgt:\t0000000180014a07\nCapInh:\t0\n");
  ASSERT_TRUE(masks);
  EXPECT_EQ(masks->blocked, 0x10000U);
  EXPECT_EQ(masks->caught, 0x180014a07U);
  EXPECT_TRUE(masks->ignores(SIGINT));
  EXPECT_TRUE(masks->ignores(64));
  EXPECT_FALSE(masks->ignores(SIGHUP));
  EXPECT_FALSE(masks->ignores(SIGTERM));
  EXPECT_FALSE(masks->ignores(0));
  EXPECT_FALSE(masks->ignores(-1));
  EXPECT_FALSE(masks->ignores(65));
}

TEST(ParseSignalMasks, RefusesAStatusWithoutThem) {
  EXPECT_FALSE(parse_signal_masks(""));
  EXPECT_FALSE(parse_signal_masks("Name:\tx\nSigBlk:\t0\nSigIgn:\t0\n"));
  EXPECT_FALSE(parse_signal_masks("Name:\tx\nSigBlk:\t0\nSigIgn:\tz\nSigCgt:\t0\n"));
  EXPECT_FALSE(parse_signal_masks("Name:\tx\nSigBlk:\t0\nSigIgn:\t\nSigCgt:\t0\n"));
}

TEST(ParsePids, ReadsThemInOrder) {
  EXPECT_THAT(parse_pids("12 4194304 7 "), ElementsAre(12, 4194304, 7));
  EXPECT_THAT(parse_pids("12 7"), ElementsAre(12, 7));
  EXPECT_THAT(parse_pids(""), IsEmpty());
  EXPECT_THAT(parse_pids("12 x 7"), ElementsAre(12));
  EXPECT_THAT(parse_pids("12 -1 0 99999999999"), ElementsAre(12));
}

TEST(SplitAtNul, KeepsEmptyPartsAndAnUnfinishedLastOne) {
  using namespace std::string_view_literals;
  EXPECT_THAT(split_at_nul("a\0\0b\0"sv), ElementsAre("a", "", "b"));
  EXPECT_THAT(split_at_nul("title of a server"), ElementsAre("title of a server"));
  EXPECT_THAT(split_at_nul("\0"sv), ElementsAre(""));
  EXPECT_THAT(split_at_nul(""), IsEmpty());
}

}  // namespace
}  // namespace reapctl::proc
