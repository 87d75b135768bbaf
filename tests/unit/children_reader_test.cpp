#include "proc/proc_fs.hpp"
#include "support/fake_proc.hpp"
#include "support/forked.hpp"

#include <cerrno>
#include <fstream>
#include <numeric>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include <gmock/gmock.h>

/// The list of our own children, a part at a time, read on where it has grown.
namespace reapctl::proc {
namespace {

using reapctl::testing::FakeProc;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::IsEmpty;

std::string list_of(const std::vector<pid_t>& pids) {
  std::string text;
  for (const pid_t pid : pids) text += std::to_string(pid) + " ";
  return text;
}

void append(const FakeProc& fake, const std::string& text) {
  std::ofstream(fake.root() + "/thread-self/children", std::ios::app) << text;
}

TEST(ChildrenReader, GivesAllInPartsAndCutsNoNumber) {
  std::vector<pid_t> pids(30000);
  std::iota(pids.begin(), pids.end(), 10000);
  const FakeProc fake{{"thread-self/children", list_of(pids)}};
  auto reader = ProcFs(fake.root()).own_children();
  ASSERT_TRUE(reader);
  std::vector<pid_t> seen;
  int parts = 0;
  for (auto part = reader->next(); !part.empty(); part = reader->next()) {
    EXPECT_LT(part.size(), pids.size());
    seen.insert(seen.end(), part.begin(), part.end());
    ++parts;
  }
  EXPECT_GT(parts, 1);
  EXPECT_THAT(seen, ElementsAreArray(pids));
}

TEST(ChildrenReader, ReadsOnWhereTheListHasGrown) {
  const FakeProc fake{{"thread-self/children", "21 22 "}};
  auto reader = ProcFs(fake.root()).own_children();
  ASSERT_TRUE(reader);
  EXPECT_THAT(reader->next(), ElementsAre(21, 22));
  EXPECT_THAT(reader->next(), IsEmpty());
  append(fake, "23 24 ");
  EXPECT_THAT(reader->next(), ElementsAre(23, 24));
  EXPECT_THAT(reader->next(), IsEmpty());
}

TEST(ChildrenReader, WithoutChildrenFilesThereIsNone) {
  FakeProc fake{};
  fake.without_children_files();
  const auto reader = ProcFs(fake.root()).own_children();
  ASSERT_FALSE(reader);
  EXPECT_EQ(reader.error().code, ENOENT);
}

TEST(ChildrenReader, TheKernelGivesTheOldestFirstAndThoseWhoComeMeanwhileBehind) {
  if (!ProcFs().has_children_files()) GTEST_SKIP() << "a kernel without CONFIG_PROC_CHILDREN";
  constexpr int kCount = 1100;  // more than one read gives, zombies all of them
  std::vector<pid_t> started;
  const auto start = [&started] {
    const pid_t pid = test::must_fork();
    if (pid == 0) ::_exit(0);
    started.push_back(pid);
  };
  for (int i = 0; i < kCount; ++i) start();
  auto reader = ProcFs().own_children();
  ASSERT_TRUE(reader);
  std::vector<pid_t> seen;
  const auto read_to_the_end = [&] {
    for (auto part = reader->next(); !part.empty(); part = reader->next()) {
      seen.insert(seen.end(), part.begin(), part.end());
    }
  };
  read_to_the_end();
  EXPECT_THAT(seen, ElementsAreArray(started));
  for (int i = 0; i < 3; ++i) start();
  read_to_the_end();
  EXPECT_THAT(seen, ElementsAreArray(started));
  for (const pid_t pid : started) EXPECT_EQ(::waitpid(pid, nullptr, 0), pid);
}

}  // namespace
}  // namespace reapctl::proc
