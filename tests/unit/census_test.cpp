#include "engine/census.hpp"

#include "support/fake_proc.hpp"

#include <algorithm>
#include <fstream>
#include <string>
#include <sys/inotify.h>
#include <thread>
#include <unistd.h>

#include <gmock/gmock.h>

namespace reapctl::engine {
namespace {

using reapctl::testing::FakeProc;
using reapctl::testing::stat_line;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr char kCookie[] = "REAPCTL_COOKIE_00112233445566AA=1";

const core::ProcessFacts& facts_of(const ProcessCensus& census, pid_t pid) {
  const auto found = std::find_if(census.processes.begin(), census.processes.end(),
                                  [pid](const core::ProcessFacts& facts) { return facts.stat.id.pid == pid; });
  if (found == census.processes.end()) throw std::runtime_error("not in the census");
  return *found;
}

/// As of a process that has an environment, be it an empty one.
std::string settled(std::string line) {
  const std::size_t zeros = line.rfind(" 0 0 0 0 0 0\n");
  return line.substr(0, zeros) + " 0 1 1 1 1 0\n";  // arg_start arg_end env_start env_end exit_code
}

TEST(Census, WhoIsInTheMiddleOfItsExecIsAskedAgain) {
  const FakeProc fake{{"1/stat", stat_line({.pid = 1})},
                      {"12/stat", stat_line({.pid = 12, .ppid = 1})},
                      {"12/environ", ""},
                      {"13/stat", settled(stat_line({.pid = 13, .ppid = 1}))},
                      {"13/environ", ""}};
  const std::string environ = fake.root() + "/12/environ";
  const int watch = ::inotify_init1(IN_CLOEXEC);
  ASSERT_GE(::inotify_add_watch(watch, environ.c_str(), IN_CLOSE_NOWRITE), 0);
  std::thread exec([&] {
    char event[4096];
    if (::read(watch, event, sizeof event) > 0) std::ofstream(environ) << kCookie;  // once it has been looked at
  });
  const ProcessCensus census = take_census(proc::ProcFs(fake.root()), 0);
  exec.join();
  ::close(watch);
  EXPECT_THAT(facts_of(census, 12).cookies, ElementsAre("00112233445566AA"));
  EXPECT_TRUE(facts_of(census, 12).environ_readable);
  EXPECT_THAT(facts_of(census, 13).cookies, IsEmpty());
  EXPECT_TRUE(facts_of(census, 13).environ_readable) << "it has no environment, and that is known";
}

TEST(Census, WhoShowsNothingInTheEndIsUnknown) {
  const FakeProc fake{{"1/stat", stat_line({.pid = 1})},
                      {"12/stat", stat_line({.pid = 12, .ppid = 1})},
                      {"12/environ", ""},
                      {"12/status", "Name:\ta\nUid:\t7\t8\t9\t10\n"}};
  const ProcessCensus census = take_census(proc::ProcFs(fake.root()), 0);
  EXPECT_FALSE(facts_of(census, 12).environ_readable);
  EXPECT_EQ(facts_of(census, 12).uid, 8U);
}

}  // namespace
}  // namespace reapctl::engine
