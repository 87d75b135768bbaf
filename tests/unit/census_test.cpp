#include "engine/census.hpp"

#include "core/victims.hpp"
#include "support/fake_proc.hpp"

#include <algorithm>
#include <atomic>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

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

const core::ProcessFacts& facts_of(const ProcessCensus& census, pid_t pid) {
  const auto found = std::find_if(census.processes.begin(), census.processes.end(),
                                  [pid](const core::ProcessFacts& facts) { return facts.stat.id.pid == pid; });
  if (found == census.processes.end()) throw std::runtime_error("not in the census");
  return *found;
}

TEST(Census, WhoIsInTheMiddleOfItsExecIsAskedAgain) {
  const FakeProc fake{{"1/stat", stat_line({.pid = 1})},
                      {"12/stat", stat_line({.pid = 12, .ppid = 1})},
                      {"12/environ", ""},
                      {"13/stat", stat_line({.pid = 13, .ppid = 1, .environment_begin = 1, .environment_end = 1})},
                      {"13/environ", ""}};
  const std::string environ = fake.root() + "/12/environ";
  const int watch = ::inotify_init1(IN_CLOEXEC);
  ASSERT_GE(::inotify_add_watch(watch, environ.c_str(), IN_CLOSE_NOWRITE), 0);
  std::thread exec([&] {
    char event[4096];
    if (::read(watch, event, sizeof event) > 0) std::ofstream(environ) << kCookie;  // once it has been looked at
  });
  EnvironmentMemory memory;
  const ProcessCensus census = take_census(proc::ProcFs(fake.root()), 0, memory);
  exec.join();
  ::close(watch);
  EXPECT_THAT(facts_of(census, 12).cookies, ElementsAre("00112233445566AA"));
  EXPECT_TRUE(facts_of(census, 12).environ_readable);
  EXPECT_THAT(facts_of(census, 13).cookies, IsEmpty());
  EXPECT_TRUE(facts_of(census, 13).environ_readable) << "it has no environment, and that is known";
}

/// Who was born while his parent, who then ends, was waited for.
TEST(Census, WhoIsBornBehindTheListIsOnTheNext) {
  const FakeProc fake{
      {"1/stat", stat_line({.pid = 1})}, {"12/stat", stat_line({.pid = 12, .ppid = 1})}, {"12/environ", ""}};
  const std::string environ = fake.root() + "/12/environ";
  std::filesystem::remove(environ);
  ASSERT_EQ(::mkfifo(environ.c_str(), 0600), 0);
  std::thread parent([&] {
    const int reader_is_there = ::open(environ.c_str(), O_WRONLY | O_CLOEXEC);
    fake.put({"11/environ", kCookie});  // a lower number: they begin anew
    fake.put({"11/stat", stat_line({.pid = 11, .ppid = 12, .environment_begin = 1, .environment_end = 100})});
    std::filesystem::remove_all(fake.root() + "/12");
    ::close(reader_is_there);
  });
  EnvironmentMemory memory;
  const ProcessCensus census = take_census(proc::ProcFs(fake.root()), 0, memory);
  parent.join();
  EXPECT_THAT(facts_of(census, 11).cookies, ElementsAre("00112233445566AA"));
}

/// His former owner is on the list before.
TEST(Census, WhoHasThePidOfSomebodyWhoHasEndedIsSomebodyNew) {
  const FakeProc fake{{"1/stat", stat_line({.pid = 1})},
                      {"12/stat", stat_line({.pid = 12, .ppid = 1})},
                      {"12/environ", "A=1\0"s},
                      {"12.next/stat", stat_line({.pid = 12, .start_ticks = 9, .environment_end = 100})},
                      {"12.next/environ", kCookie},
                      {"20/stat", stat_line({.pid = 20})}};
  const std::string environ = fake.root() + "/20/environ";
  ASSERT_EQ(::mkfifo(environ.c_str(), 0600), 0);
  std::thread change([&] {
    const int reader_is_there = ::open(environ.c_str(), O_WRONLY | O_CLOEXEC);
    std::filesystem::rename(fake.root() + "/12", fake.root() + "/12.before");
    std::filesystem::rename(fake.root() + "/12.next", fake.root() + "/12");
    (void)!::write(reader_is_there, "A=1", 4);
    ::close(reader_is_there);
  });
  EnvironmentMemory memory;
  const ProcessCensus census = take_census(proc::ProcFs(fake.root()), 0, memory);
  change.join();
  const auto& all = census.processes;
  EXPECT_TRUE(std::any_of(all.begin(), all.end(), [](const core::ProcessFacts& facts) {
    return facts.stat.id.pid == 12 && facts.stat.id.start_ticks == 9 && facts.cookies.size() == 1;
  }));
}

/// While anybody new is looked at, the next one is born.
class Generations {
 public:
  explicit Generations(char state) : state_(state) {
    add();
    thread_ = std::thread([this] { go_on(); });
  }
  ~Generations() {
    over_ = true;
    const int nobody_looks = ::open(stat_of(newest_).c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    thread_.join();
    ::close(nobody_looks);
  }
  Generations(const Generations&) = delete;
  Generations& operator=(const Generations&) = delete;

  [[nodiscard]] ProcessCensus census() const {
    EnvironmentMemory memory;
    return take_census(proc::ProcFs(fake_.root()), 0, memory);
  }

 private:
  [[nodiscard]] std::string stat_of(int pid) const { return fake_.root() + "/" + std::to_string(pid) + "/stat"; }

  void add() {
    const int pid = newest_ + 1;
    fake_.put({std::to_string(pid) + "/environ", "A=1\0"s});
    if (::mkfifo(stat_of(pid).c_str(), 0600) != 0) throw std::runtime_error("mkfifo");
    newest_ = pid;
  }

  void go_on() {
    while (!over_) {
      const int pid = newest_;
      const int stat = ::open(stat_of(pid).c_str(), O_WRONLY | O_CLOEXEC);
      if (!over_) add();
      const std::string line = stat_line({.pid = pid, .state = state_});
      (void)!::write(stat, line.data(), line.size());
      ::close(stat);
    }
  }

  FakeProc fake_{{"1/stat", stat_line({.pid = 1})}, {"1/environ", "A=1\0"s}};
  const char state_;
  std::atomic<int> newest_ = 100;
  std::atomic<bool> over_ = false;
  std::thread thread_;
};

TEST(Census, WhereEverybodyNewHasEndedAlreadySomebodyMayHide) {
  EXPECT_TRUE(Generations('Z').census().restless);
}

TEST(Census, WhereEverybodyNewIsSeenNobodyHides) {
  const ProcessCensus census = Generations('S').census();
  EXPECT_FALSE(census.restless);
  EXPECT_EQ(census.processes.size(), 3U) << "two lists, and one who was new on each";
}

/// Its environment was not there when it was looked for, and its exec over when that was asked for.
TEST(Census, AnExecThatEndsBetweenTwoLooksHidesNobody) {
  const FakeProc fake{{"1/stat", stat_line({.pid = 1})},
                      {"12/stat", stat_line({.pid = 12, .ppid = 1, .environment_begin = 1, .environment_end = 100})},
                      {"12/environ", ""}};
  const std::string environ = fake.root() + "/12/environ";
  std::filesystem::remove(environ);
  ASSERT_EQ(::mkfifo(environ.c_str(), 0600), 0);
  const int watch = ::inotify_init1(IN_CLOEXEC);
  ASSERT_GE(::inotify_add_watch(watch, environ.c_str(), IN_CLOSE_NOWRITE), 0);
  std::thread exec([&environ, watch] {
    ::close(::open(environ.c_str(), O_WRONLY | O_CLOEXEC));
    char event[4096];
    if (::read(watch, event, sizeof event) > 0) std::ofstream(environ) << kCookie;  // the first look found nothing
  });
  EnvironmentMemory memory;
  const ProcessCensus census = take_census(proc::ProcFs(fake.root()), 0, memory);
  const int nobody_looked = ::open(environ.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  exec.join();
  ::close(nobody_looked);
  ::close(watch);
  EXPECT_THAT(facts_of(census, 12).cookies, ElementsAre("00112233445566AA"));
}

TEST(Census, WhoShowsNothingInTheEndIsUnknown) {
  const FakeProc fake{{"1/stat", stat_line({.pid = 1})},
                      {"12/stat", stat_line({.pid = 12, .ppid = 1})},
                      {"12/environ", ""},
                      {"12/status", "Name:\ta\nUid:\t7\t8\t9\t10\n"}};
  EnvironmentMemory memory;
  const ProcessCensus census = take_census(proc::ProcFs(fake.root()), 0, memory);
  EXPECT_FALSE(facts_of(census, 12).environ_readable);
  EXPECT_EQ(facts_of(census, 12).uid, 8U);
}

/// Who has a cleared environment is known by his parent alone, and for as long as that is there.
TEST(Census, AReapctlThatIsDyingIsDeadAndAParent) {
  core::ProcessFacts reapctl{.stat = {}, .cookies = {}, .cgroups = {}, .uid = {}};
  reapctl.stat.id = {.pid = 20, .start_ticks = 50};
  reapctl.stat.state = 'R';
  reapctl.stat.threads = 1;
  reapctl.stat.doomed = true;
  core::ProcessFacts child = reapctl;
  child.stat.id = {.pid = 21, .start_ticks = 60};
  child.stat.ppid = 20;
  ProcessCensus census{.processes = {reapctl, child}, .complete = true, .failure = {}, .unsure_cgroups = {}};
  core::OwningRun run{.record = {}, .verdict = core::Verdict::orphaned, .only_of = {}};
  run.record.supervisor = reapctl.stat.id;
  count_as_dead(census, {run});
  ASSERT_EQ(census.processes.size(), 2U);
  EXPECT_FALSE(core::is_alive(census.processes[0].stat));
  EXPECT_TRUE(core::is_alive(census.processes[1].stat)) << "no reapctl, and to be killed like the others";
  EXPECT_TRUE(core::attribute({run}, census.processes, {})[1]);
}

/// Or he could keep a sweep from a process of somebody else's whose first thread has ended.
TEST(Census, NobodyMakesAReapctlOfWhoIsNotHis) {
  core::ProcessFacts process{.stat = {}, .cookies = {}, .cgroups = {}, .uid = 7};
  process.stat.id = {.pid = 20, .start_ticks = 50};
  process.stat.state = 'Z';
  process.stat.threads = 2;
  ProcessCensus census{.processes = {process}, .complete = true, .failure = {}, .unsure_cgroups = {}};
  core::OwningRun run{.record = {}, .verdict = core::Verdict::orphaned, .only_of = 8};
  run.record.supervisor = process.stat.id;
  count_as_dead(census, {run});
  EXPECT_TRUE(core::is_alive(census.processes[0].stat));
  run.only_of = 7;
  count_as_dead(census, {run});
  EXPECT_FALSE(core::is_alive(census.processes[0].stat));
}

}  // namespace
}  // namespace reapctl::engine
