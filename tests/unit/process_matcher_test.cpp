#include "engine/process_matcher.hpp"

#include "support/fake_proc.hpp"

#include <string>
#include <unistd.h>

#include <gmock/gmock.h>

namespace reapctl::engine {
namespace {

using ::reapctl::testing::FakeProc;
using ::reapctl::testing::stat_line;
using ::testing::ElementsAre;
using ::testing::Key;

std::string exiting(std::string line) {
  const std::string flags = " 4194304 ";
  return line.replace(line.find(flags), flags.size(), " 4194308 ");  // PF_EXITING
}

TEST(ProcessMatcher, WhoCannotBeReadMayMatchUnlessHeIsOnHisWayOut) {
  const std::string status = "Name:\ta\nUid:\t0\t" + std::to_string(::geteuid()) + "\t0\t0\n";
  const FakeProc fake{{"12/stat", stat_line({.pid = 12, .ppid = 1})},
                      {"12/environ/is", "a directory, which nobody can read"},
                      {"12/status", status},
                      {"13/stat", exiting(stat_line({.pid = 13, .ppid = 1}))},
                      {"13/environ/is", "a directory, which nobody can read"},
                      {"13/status", status}};
  const proc::ProcFs proc(fake.root());
  EnvironmentMemory memory;
  const ProcessCensus census = take_census(proc, 0, memory);
  ASSERT_EQ(census.processes.size(), 2U);
  core::SweepPlan plan;
  plan.match.environment = {"A=b"};
  const core::Matches matches = ProcessMatcher(plan, proc).look(census);
  const std::size_t living = census.processes[0].stat.id.pid == 12 ? 0 : 1;
  EXPECT_THAT(matches.unreadable, ElementsAre(Key(living)));
}

}  // namespace
}  // namespace reapctl::engine
