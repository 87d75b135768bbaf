#include "support/tree_fixture.hpp"

#include <array>
#include <csignal>
#include <unistd.h>

#include <gmock/gmock.h>

/// Children that reapctl had before the run (`x & exec reapctl ...`), and their orphans, are not of the run.
namespace reapctl::engine {
namespace {

using test::Pipe;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class TreeWithStrangers : public TreeTest {
 protected:
  /// A child from before the run that has ended, and was reaped and forgotten since.
  pid_t outlive_stranger() {
    const pid_t stranger = start();
    tree_.disown_children();
    test::send_signal(stranger, SIGKILL);
    sys::wait_and_reap(stranger);
    tree_.forget_stranger(stranger);
    return stranger;
  }
};

TEST_F(TreeWithStrangers, AChildFromBeforeIsNotOfTheRun) {
  const pid_t stranger = start();
  EXPECT_FALSE(tree_.has_strangers());
  tree_.disown_children();
  EXPECT_TRUE(tree_.has_strangers());
  EXPECT_TRUE(tree_.is_strange_child(stranger));
  const pid_t main = start();
  tree_.own(main);
  EXPECT_FALSE(tree_.is_strange_child(main));
  EXPECT_THAT(living(), ElementsAre(main));
  EXPECT_EQ(tree_.tell(kTerm, core::Scope::tree, main, false), 1);
  (void)tree_.kill(kNow);
  EXPECT_EQ(killed_by(main), SIGTERM);
  EXPECT_TRUE(untouched(stranger));
  EXPECT_THAT(tree_.survivors(), IsEmpty());
}

TEST_F(TreeWithStrangers, NorAreItsChildrenNorItsOrphans) {
  Pipe go;
  const pid_t stranger = test::must_fork();
  if (stranger == 0) {
    char byte = 0;
    if (::read(go.reader.get(), &byte, 1) != 1) ::_exit(1);
    if (test::must_fork() == 0) {
      announce();
      wait_for_ever();
    }
    if (::read(go.reader.get(), &byte, 1) != 1) ::_exit(1);
    ::_exit(0);
  }
  tree_.disown_children();
  ASSERT_EQ(::write(go.writer.get(), "x", 1), 1);
  const pid_t later = heard();
  EXPECT_THAT(living(), IsEmpty()) << "the child of a stranger";
  ASSERT_EQ(::write(go.writer.get(), "x", 1), 1);
  sys::wait_and_reap(stranger);
  tree_.forget_stranger(stranger);
  EXPECT_THAT(living(), IsEmpty()) << "its orphan, which is our child now";
  (void)tree_.kill(kNow);
  EXPECT_TRUE(untouched(later));
}

TEST_F(TreeWithStrangers, AnOrphanThatNobodyHasSeenBeforeIsNotKilled) {
  const pid_t stranger = start();
  tree_.disown_children();
  (void)tree_.kill(kNow);
  // As if a stranger had forked and ended between two looks at the tree.
  const pid_t orphan = start_orphan();
  const core::Census census = tree_.kill(kNow).value();
  EXPECT_EQ(census.living, 0);
  EXPECT_TRUE(untouched(orphan));
  EXPECT_TRUE(untouched(stranger));
}

TEST_F(TreeWithStrangers, AnOrphanSeenBelowTheMainCommandIsOfTheRun) {
  (void)start();
  tree_.disown_children();
  Pipe go;
  const pid_t main = test::must_fork();
  if (main == 0) {
    if (test::must_fork() == 0) {
      announce();
      wait_for_ever();
    }
    char byte = 0;
    (void)!::read(go.reader.get(), &byte, 1);
    ::_exit(0);
  }
  tree_.own(main);
  const pid_t child = heard();
  EXPECT_THAT(living(), UnorderedElementsAre(main, child));
  ASSERT_EQ(::write(go.writer.get(), "x", 1), 1);
  sys::wait_and_reap(main);
  EXPECT_THAT(living(), ElementsAre(child));
  (void)tree_.kill(kNow);
  EXPECT_EQ(killed_by(child), SIGKILL);
}

TEST_F(TreeWithStrangers, AnOrphanWithTheCookieIsOfTheRunAsSoonAsItShowsIt) {
  const pid_t stranger = start();
  tree_.disown_children();
  Pipe go;
  const pid_t pid = test::must_fork();
  if (pid == 0) {
    announce();
    char byte = 0;
    if (::read(go.reader.get(), &byte, 1) != 1) ::_exit(1);
    (void)::execle("/bin/sleep", "sleep", "1000", nullptr,
                   std::array{kCookie, static_cast<const char*>(nullptr)}.data());
    ::_exit(127);
  }
  ASSERT_EQ(heard(), pid);
  EXPECT_THAT(living(), IsEmpty()) << "a child without the cookie, for now";
  ASSERT_EQ(::write(go.writer.get(), "x", 1), 1);
  EXPECT_TRUE(test::await([this] { return !living().empty(); }));
  EXPECT_THAT(living(), ElementsAre(pid));
  (void)tree_.kill(kNow);
  EXPECT_EQ(killed_by(pid), SIGKILL);
  EXPECT_TRUE(untouched(stranger));
}

TEST_F(TreeWithStrangers, AStrangersPidMayBeGivenToSomebodyElse) {
  EXPECT_FALSE(tree_.is_strange_child(outlive_stranger()));
}

TEST_F(TreeWithStrangers, TheLastStrangerMayLeaveOrphansBehind) {
  (void)outlive_stranger();
  const pid_t orphan = start_orphan();  // as if it had been the stranger's, and nobody had looked before that ended
  EXPECT_TRUE(tree_.has_strangers());
  EXPECT_THAT(living(), IsEmpty());
  (void)tree_.kill(kNow);
  EXPECT_TRUE(untouched(orphan));
}

}  // namespace
}  // namespace reapctl::engine
