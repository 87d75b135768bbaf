#include "proc/proc_fs.hpp"

#include "support/fake_proc.hpp"

#include <fstream>
#include <numeric>
#include <sys/stat.h>
#include <thread>

#include <gmock/gmock.h>

namespace reapctl::proc {
namespace {

using testing::FakeProc;
using testing::Link;
using testing::stat_line;
using namespace std::string_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

std::vector<pid_t> pids_of(const Listing& listing) {
  std::vector<pid_t> pids;
  for (const core::ProcessStat& each : listing.processes) pids.push_back(each.id.pid);
  return pids;
}

TEST(ProcFs, AGoneProcessIsToldFromOneThatCantBeRead) {
  const FakeProc fake{{"12/stat", "12 (cut off"}, {"13/stat/directory", ""}};
  const ProcFs proc(fake.root());
  EXPECT_TRUE(is_gone(proc.stat(11).error()));
  EXPECT_FALSE(is_gone(proc.stat(12).error()));
  EXPECT_EQ(proc.stat(13).error().code, EISDIR);
  EXPECT_FALSE(is_gone(proc.stat(13).error()));
  EXPECT_FALSE(is_gone(sys::Error{.code = EMFILE, .operation = "open", .subject = ""}));
}

TEST(ProcFs, ChildrenAreThoseOfAllThreads) {
  const FakeProc fake{{"10/task/10/children", "21 22 "}, {"10/task/15/children", ""}, {"10/task/16/children", "23 "}};
  const auto children = ProcFs(fake.root()).children(10);
  ASSERT_TRUE(children);
  EXPECT_THAT(*children, UnorderedElementsAre(21, 22, 23));
}

TEST(ProcFs, AThreadThatEndedMeanwhileIsPassedOver) {
  const FakeProc fake{{"10/task/10/children", "21 "}, {"10/task/11/comm", ""}};
  EXPECT_THAT(ProcFs(fake.root()).children(10).value(), ElementsAre(21));
}

TEST(ProcFs, ChildrenThatCantBeReadAreAnError) {
  const FakeProc fake{{"10/task/10/children", "21 "}, {"10/task/11/children/directory", ""}, {"12/task/12/comm", ""}};
  const ProcFs proc(fake.root());
  EXPECT_EQ(proc.children(10).error().code, EISDIR);
  EXPECT_TRUE(is_gone(proc.children(11).error()));
  EXPECT_TRUE(is_gone(proc.children(12).error()));
}

TEST(ProcFs, ChildrenFilesArePartOfTheKernelOrNot) {
  FakeProc fake{};
  const ProcFs proc(fake.root());
  EXPECT_TRUE(proc.has_children_files());
  fake.without_children_files();
  EXPECT_FALSE(proc.has_children_files());
}

TEST(ProcFs, ChildrenFilesAreReadToTheirEnd) {
  std::vector<pid_t> pids(30000);
  std::iota(pids.begin(), pids.end(), 10000);
  std::string text;
  for (const pid_t pid : pids) text += std::to_string(pid) + " ";
  const FakeProc fake{{"10/task/10/children", text}};
  EXPECT_EQ(ProcFs(fake.root()).children(10).value(), pids);
}

TEST(ProcFs, DescendantsComeParentsFirst) {
  const FakeProc fake{
      {"10/task/10/children", "30 20 "},
      {"20/stat", stat_line({.pid = 20, .ppid = 10, .threads = 2})},
      {"20/task/20/children", ""},
      {"20/task/25/children", "5 "},
      {"30/stat", stat_line({.pid = 30, .ppid = 10, .state = 'Z'})},
      {"5/stat", stat_line({.pid = 5, .ppid = 20})},
      {"5/task/5/children", ""},
      {"99/stat", stat_line({.pid = 99, .ppid = 1})},
  };
  const Listing listing = ProcFs(fake.root()).descendants(10);
  EXPECT_THAT(pids_of(listing), ElementsAre(30, 20, 5));
  EXPECT_EQ(listing.processes.front().state, 'Z');
  EXPECT_TRUE(listing.complete);
}

TEST(ProcFs, AZombieLeaderWithLivingThreadsHasDescendants) {
  const FakeProc fake{
      {"10/task/10/children", "20 "},
      {"20/stat", stat_line({.pid = 20, .ppid = 10, .state = 'Z', .threads = 2})},
      {"20/task/20/children", ""},
      {"20/task/21/children", "22 "},
      {"22/stat", stat_line({.pid = 22, .ppid = 20})},
      {"22/task/22/children", ""},
  };
  EXPECT_THAT(pids_of(ProcFs(fake.root()).descendants(10)), ElementsAre(20, 22));
}

TEST(ProcFs, DescendantsThatWereReparentedOnTheWayBelongToTheTree) {
  const FakeProc fake{
      {"10/task/10/children", "20 30 "},
      {"20/stat", stat_line({.pid = 20, .ppid = 10})},
      {"20/task/20/children", "21 22 23 24 "},
      {"30/stat", stat_line({.pid = 30, .ppid = 10})},
      {"30/task/30/children", "21 "},
      {"21/stat", stat_line({.pid = 21, .ppid = 30})},  // adopted by a subreaper of the tree, and listed there as well
      {"21/task/21/children", ""},
      {"22/stat", stat_line({.pid = 22, .ppid = 10})},  // adopted by the root
      {"22/task/22/children", ""},
      {"23/stat", stat_line({.pid = 23, .ppid = 1})},  // the pid belongs to a stranger by now; 24 is gone
      {"23/task/23/children", "29 "},
      {"29/stat", stat_line({.pid = 29, .ppid = 23})},
  };
  const Listing listing = ProcFs(fake.root()).descendants(10);
  EXPECT_THAT(pids_of(listing), ElementsAre(20, 30, 21, 22));
  EXPECT_TRUE(listing.complete);
}

TEST(ProcFs, AStrangerWithAReusedPidBringsNoChildrenIn) {
  const FakeProc fake{
      {"10/task/10/children", "20 "}, {"20/stat", stat_line({.pid = 20, .ppid = 10, .start_ticks = 500})},
      {"20/task/20/comm", ""},        {"21/stat", stat_line({.pid = 21, .ppid = 20})},
      {"21/task/21/children", ""},
  };
  // The walk blocks in the open of this FIFO, after it has read the stat of 20 and before it has the list.
  const std::string fifo = fake.root() + "/20/task/20/children";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  std::thread reuses([&] {
    std::ofstream list(fifo);
    fake.put({"20/stat", stat_line({.pid = 20, .ppid = 1, .start_ticks = 501})});
    list << "21 ";
  });
  const Listing listing = ProcFs(fake.root()).descendants(10);
  reuses.join();
  EXPECT_THAT(pids_of(listing), ElementsAre(20));
}

TEST(ProcFs, DescendantsSayWhenOneCouldNotBeRead) {
  const FakeProc fake{
      {"10/task/10/children", "20 21 "},
      {"20/stat/directory", ""},
      {"21/stat", stat_line({.pid = 21, .ppid = 10})},
      {"21/task/21/children", ""},
  };
  const Listing listing = ProcFs(fake.root()).descendants(10);
  EXPECT_THAT(pids_of(listing), ElementsAre(21));
  EXPECT_FALSE(listing.complete);
}

TEST(ProcFs, WithoutChildrenFilesDescendantsComeFromTheWholeListing) {
  FakeProc fake{
      {"10/stat", stat_line({.pid = 10, .ppid = 1})},
      {"20/stat", stat_line({.pid = 20, .ppid = 10})},
      {"5/stat", stat_line({.pid = 5, .ppid = 20})},
      {"99/stat", stat_line({.pid = 99, .ppid = 1})},
      {"uptime", "1 1\n"},
  };
  fake.without_children_files();
  const Listing listing = ProcFs(fake.root()).descendants(10);
  EXPECT_THAT(pids_of(listing), ElementsAre(20, 5));
  EXPECT_TRUE(listing.complete);
}

TEST(ProcFs, AllListsEveryProcessOnce) {
  const FakeProc fake{
      {"1/stat", stat_line({.pid = 1})}, {"7/stat", stat_line({.pid = 7})}, {"8/comm", "gone\n"}, {"net/tcp", ""}};
  const Listing listing = ProcFs(fake.root()).all();
  EXPECT_THAT(pids_of(listing), UnorderedElementsAre(1, 7));
  EXPECT_TRUE(listing.complete);
}

TEST(ProcFs, AListingThatFailedIsNotAnEmptyOne) {
  EXPECT_FALSE(ProcFs("/nonexistent").all().complete);
  EXPECT_NE(ProcFs("/nonexistent").all().failure, "");
  EXPECT_FALSE(ProcFs("/nonexistent").descendants(10).complete);
  const FakeProc fake{{"1/stat/directory", ""}};
  EXPECT_FALSE(ProcFs(fake.root()).all().complete);
  EXPECT_NE(ProcFs(fake.root()).all().failure, "") << "that is no matter of permissions";
}

TEST(ProcFs, NamesAndArguments) {
  const FakeProc fake{
      {"12/comm", "two\nlines\n"},
      {"12/cmdline", "sh\0-c\0\0x\0"s},
      {"13/cmdline", ""},
      {"14/cmdline", "nginx: worker\0\0\0\0"s},
  };
  const ProcFs proc(fake.root());
  EXPECT_EQ(proc.comm(12), "two\nlines");
  EXPECT_EQ(proc.comm(99), "");
  EXPECT_THAT(proc.cmdline(12), ElementsAre("sh", "-c", "", "x"));
  EXPECT_THAT(proc.cmdline(13), IsEmpty());
  EXPECT_THAT(proc.cmdline(14), ElementsAre("nginx: worker"));
  EXPECT_THAT(proc.cmdline(99), IsEmpty());
}

TEST(ProcFs, WchanIsEmptyWhereTheKernelSaysNothing) {
  const FakeProc fake{{"12/wchan", "futex_wait_queue"}, {"13/wchan", "0"}, {"14/wchan", ""}};
  const ProcFs proc(fake.root());
  EXPECT_EQ(proc.wchan(12), "futex_wait_queue");
  EXPECT_EQ(proc.wchan(13), "");
  EXPECT_EQ(proc.wchan(14), "");
  EXPECT_EQ(proc.wchan(15), "");
}

TEST(ProcFs, EnvironIsMatchedByWholeEntriesToItsEnd) {
  const FakeProc fake{
      {"12/environ", "A=1\0LONG="s + std::string(214000, 'x') + "\0REAPCTL_COOKIE_C71E=1\0"s},
      {"13/environ", ""},
      {"14/environ/directory", ""},
      {"15/environ", std::string(ProcFs::kTextLimit + 1, 'x')},
  };
  const ProcFs proc(fake.root());
  EXPECT_EQ(proc.environ_has(12, "REAPCTL_COOKIE_C71E=1"), EnvironMatch::yes);
  EXPECT_EQ(proc.environ_has(12, "A=1"), EnvironMatch::yes);
  EXPECT_EQ(proc.environ_has(12, "REAPCTL_COOKIE_C71E="), EnvironMatch::no);
  EXPECT_EQ(proc.environ_has(12, "COOKIE_C71E=1"), EnvironMatch::no);
  EXPECT_EQ(proc.environ_has(13, "A=1"), EnvironMatch::no);
  EXPECT_EQ(proc.environ_has(14, "A=1"), EnvironMatch::unreadable);
  EXPECT_EQ(proc.environ_has(15, "A=1"), EnvironMatch::unreadable) << "only a part of it was looked at";
  EXPECT_EQ(proc.environ_has(99, "A=1"), EnvironMatch::unreadable);
}

TEST(ProcFs, SignalMasksOfAProcess) {
  const FakeProc fake{{"12/status", "Name:\tx\nSigBlk:\t0\nSigIgn:\t0000000000000002\nSigCgt:\t0\n"},
                      {"13/status", "Name:\tx\n"}};
  const ProcFs proc(fake.root());
  EXPECT_TRUE(proc.signal_masks(12).value().ignores(2));
  EXPECT_FALSE(is_gone(proc.signal_masks(13).error()));
  EXPECT_TRUE(is_gone(proc.signal_masks(14).error()));
}

TEST(ProcFs, LinesEndWhereTheReaderOrTheFileEnds) {
  const std::string long_line(40000, 'x');
  const FakeProc fake{{"lines", "a\n\n" + long_line + "\nlast\ncut of"}};
  std::vector<std::string> lines;
  const ProcFs proc(fake.root());
  const auto keep = [&](std::string_view line) {
    lines.emplace_back(line);
    return line != "a";
  };
  proc.each_line("lines", keep);
  EXPECT_THAT(lines, ElementsAre("a"));
  lines.clear();
  proc.each_line("lines", [&](std::string_view line) { return keep(line), true; });
  EXPECT_THAT(lines, ElementsAre("a", "", long_line, "last"));
}

TEST(ProcFs, NumbersInADirectoryAndLinks) {
  const FakeProc fake{{"12/fd/0", Link{"/dev/null"}}, {"12/fd/1", Link{"pipe:[3]"}}, {"12/fd/x", ""}, {"12/fd/2y", ""}};
  const ProcFs proc(fake.root());
  EXPECT_THAT(proc.numbers_in("12/fd").value(), UnorderedElementsAre(0, 1));
  EXPECT_EQ(proc.numbers_in("12/fd", 1).value().size(), 1U);
  EXPECT_EQ(proc.numbers_in("13/fd").error().code, ENOENT);
  EXPECT_EQ(proc.link("12/fd/1"), "pipe:[3]");
  EXPECT_EQ(proc.link("12/fd/9"), "");
}

}  // namespace
}  // namespace reapctl::proc
