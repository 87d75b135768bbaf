#include "proc/describe.hpp"

#include "proc/host.hpp"
#include "support/fake_proc.hpp"

#include <fstream>
#include <string>
#include <unistd.h>

#include <gmock/gmock.h>

namespace reapctl::proc {
namespace {

using testing::FakeProc;
using testing::Link;
using testing::stat_line;
using namespace std::string_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

const std::string kListener = "heading\n   0: 00000000:0050 00000000:0000 0A 0:0 00:0 0 0 0 7 1 0\n";

TEST(Describe, FillsInWhatReportsShow) {
  const auto ticks = static_cast<unsigned long long>(::sysconf(_SC_CLK_TCK));
  const FakeProc fake{
      {"12/stat", stat_line({.pid = 12, .ppid = 10, .comm = "web", .start_ticks = 5 * ticks})},
      {"12/cmdline", "web\0--port\0"s},
      {"12/wchan", "ep_poll"},
      {"12/fd/3", Link{"socket:[7]"}},
      {"net/tcp", kListener},
  };
  const ProcFs proc(fake.root());
  const auto details = describe(proc, proc.stat(12).value(), ListeningSockets(proc), std::chrono::milliseconds(7250));
  EXPECT_EQ(details.pid, 12);
  EXPECT_EQ(details.ppid, 10);
  EXPECT_EQ(details.pgid, 20);
  EXPECT_EQ(details.sid, 21);
  EXPECT_EQ(details.start_ticks, 5 * ticks);
  EXPECT_EQ(details.comm, "web");
  EXPECT_THAT(details.argv, ElementsAre("web", "--port"));
  EXPECT_EQ(details.state, 'S');
  EXPECT_EQ(details.wchan, "ep_poll");
  EXPECT_EQ(details.cpu_ms, std::int64_t{200} * 1000 / static_cast<std::int64_t>(ticks));
  EXPECT_EQ(details.rss_bytes, 25 * ::sysconf(_SC_PAGESIZE));
  EXPECT_EQ(details.age_ms, 2250);
  EXPECT_THAT(details.listening, ElementsAre("0.0.0.0:80"));
}

TEST(Describe, AZombieHasANameButNoArguments) {
  const FakeProc fake{{"12/stat", stat_line({.pid = 12, .comm = "dead", .state = 'Z'})}, {"12/cmdline", ""}};
  const ProcFs proc(fake.root());
  const auto details = describe(proc, proc.stat(12).value(), ListeningSockets(proc), std::chrono::hours(1));
  EXPECT_EQ(details.comm, "dead");
  EXPECT_THAT(details.argv, IsEmpty());
  EXPECT_EQ(details.wchan, "");
}

TEST(Describe, DoesNotMixInTheNextOwnerOfThePid) {
  const FakeProc fake{
      {"12/stat", stat_line({.pid = 12, .start_ticks = 501})},
      {"12/cmdline", "stranger\0"s},
      {"12/wchan", "ep_poll"},
      {"12/fd/3", Link{"socket:[7]"}},
      {"net/tcp", kListener},
  };
  const ProcFs proc(fake.root());
  core::ProcessStat before = proc.stat(12).value();
  before.id.start_ticks = 500;
  const auto details = describe(proc, before, ListeningSockets(proc), std::chrono::hours(1));
  EXPECT_EQ(details.start_ticks, 500U);
  EXPECT_THAT(details.argv, IsEmpty());
  EXPECT_EQ(details.wchan, "");
  EXPECT_THAT(details.listening, IsEmpty());
}

TEST(Describe, AnAgeIsNeverNegative) {
  const ProcFs nothing("/nonexistent");
  core::ProcessStat stat;
  stat.id = {.pid = 12, .start_ticks = 500};
  EXPECT_EQ(describe(nothing, stat, ListeningSockets(nothing), std::chrono::seconds(0)).age_ms, 0);
}

TEST(Describe, TheAgeOfThisProcessIsCountedOnTheBootClock) {
  const ProcFs proc;
  const auto age = describe(proc, proc.stat(::getpid()).value(), ListeningSockets(proc), since_boot()).age_ms;
  EXPECT_GE(age, 0);
  EXPECT_LT(age, std::chrono::milliseconds(std::chrono::hours(1)).count());
}

TEST(Host, NameAndBootIdAreFirstLines) {
  const FakeProc fake{{"sys/kernel/hostname", "build7\n"}, {"sys/kernel/random/boot_id", "9b2f-1\n"}};
  EXPECT_EQ(host_name(ProcFs(fake.root())), "build7");
  EXPECT_EQ(boot_id(ProcFs(fake.root())), "9b2f-1");
  EXPECT_EQ(host_name(ProcFs("/nonexistent")), "");
  EXPECT_EQ(machine_id(ProcFs(fake.root()), "/nonexistent"), "build7");
  const std::string file = fake.root() + "/machine-id";
  for (const char* text : {"", "\n", "uninitialized\n"}) {
    std::ofstream(file) << text;
    EXPECT_EQ(machine_id(ProcFs(fake.root()), file), "build7") << text;
  }
  std::ofstream(file) << "0123456789abcdef0123456789abcdef\n";
  EXPECT_EQ(machine_id(ProcFs(fake.root()), file), "0123456789abcdef0123456789abcdef");
  EXPECT_EQ(boot_id(ProcFs()).size(), 36U);
}

}  // namespace
}  // namespace reapctl::proc
