#include "engine/ledger.hpp"

#include "support/fake_proc.hpp"
#include "support/process.hpp"
#include "sys/unique_fd.hpp"

#include <fcntl.h>
#include <filesystem>
#include <string>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include <gmock/gmock.h>

namespace reapctl::engine {
namespace {

using ::testing::ElementsAre;
using testing::FakeProc;
using ::testing::IsEmpty;
using testing::stat_line;

constexpr char kCookie[] = "REAPCTL_COOKIE_TREETEST=1";

/// A process whose command line can be read at once, with this text of its own.
void put_child(const FakeProc& fake, pid_t pid) {
  fake.put({std::to_string(pid) + "/stat", stat_line({.pid = pid, .ppid = ::getpid(), .comm = "child"})});
  fake.put({std::to_string(pid) + "/cmdline", "child" + std::to_string(pid)});
}

TEST(Ledger, DescribesEverybodyOfASnapshot) {
  const FakeProc fake{{"thread-self/children", "9000001 9000002 "}};
  for (const pid_t pid : {9000001, 9000002}) put_child(fake, pid);
  const proc::ProcFs proc(fake.root());
  Tree tree(proc, kCookie);
  Ledger ledger(proc, tree);
  const auto snapshot = ledger.snapshot();
  ASSERT_EQ(snapshot.size(), 2U);
  EXPECT_THAT(snapshot[0].argv, ElementsAre("child9000001"));
  EXPECT_THAT(snapshot[1].argv, ElementsAre("child9000002"));
}

/// A process that forks lets whoever reads its command line wait, here for longer than all may take: no time at all.
TEST(Ledger, DescribesNobodyElseCloselyOnceItWasKeptWaiting) {
  const FakeProc fake{{"thread-self/children", "9000001 9000002 "}};
  for (const pid_t pid : {9000001, 9000002}) put_child(fake, pid);
  const std::string forking = fake.root() + "/9000001/cmdline";
  std::filesystem::remove(forking);
  ASSERT_EQ(::mkfifo(forking.c_str(), 0600), 0);
  std::thread lock([&forking, reader = ::getpid()] {
    const sys::UniqueFd writer(::open(forking.c_str(), O_WRONLY | O_CLOEXEC));  // when somebody has come to read
    EXPECT_TRUE(test::await([reader] { return test::read_stat(reader).value().state == 'S'; }));
    (void)!::write(writer.get(), "forking", 7);
  });
  const proc::ProcFs proc(fake.root());
  Tree tree(proc, kCookie);
  Ledger ledger(proc, tree, core::Millis(0));
  const auto snapshot = ledger.snapshot();
  lock.join();
  ASSERT_EQ(snapshot.size(), 2U);
  EXPECT_THAT(snapshot[0].argv, ElementsAre("forking"));
  EXPECT_EQ(snapshot[1].pid, 9000002);
  EXPECT_EQ(snapshot[1].comm, "child");
  EXPECT_EQ(snapshot[1].state, 'S');
  EXPECT_THAT(snapshot[1].argv, IsEmpty());
}

}  // namespace
}  // namespace reapctl::engine
