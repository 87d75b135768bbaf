#include "core/descent.hpp"

#include <gmock/gmock.h>

namespace reapctl::core {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

ProcessStat process(pid_t pid, pid_t ppid) {
  ProcessStat stat;
  stat.id.pid = pid;
  stat.ppid = ppid;
  return stat;
}

std::vector<pid_t> pids_below(pid_t root, std::vector<ProcessStat> all) {
  std::vector<pid_t> pids;
  for (const ProcessStat& each : descendants_of(root, std::move(all))) pids.push_back(each.id.pid);
  return pids;
}

TEST(Descent, ParentsComeFirstWhateverTheirPids) {
  EXPECT_THAT(pids_below(10, {process(5, 30), process(30, 20), process(20, 10), process(10, 1)}),
              ElementsAre(20, 30, 5));
}

TEST(Descent, LeavesOutSiblingsAndAncestors) {
  EXPECT_THAT(pids_below(10, {process(1, 0), process(10, 1), process(11, 1), process(12, 11), process(13, 10)}),
              ElementsAre(13));
}

TEST(Descent, OfAProcessWithoutChildrenOrThatIsNotListedIsEmpty) {
  EXPECT_THAT(pids_below(10, {process(10, 1)}), IsEmpty());
  EXPECT_THAT(pids_below(10, {}), IsEmpty());
}

TEST(Descent, EndsInACircle) {
  EXPECT_THAT(pids_below(10, {process(10, 12), process(11, 10), process(12, 11)}), ElementsAre(11, 12));
  EXPECT_THAT(pids_below(10, {process(10, 10), process(11, 11)}), IsEmpty());
}

TEST(Descent, CountsAPidThatWasListedTwiceOnce) {
  EXPECT_THAT(pids_below(10, {process(11, 10), process(12, 11), process(12, 10)}), ElementsAre(11, 12));
}

}  // namespace
}  // namespace reapctl::core
