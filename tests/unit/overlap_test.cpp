#include "core/overlap.hpp"

#include "core/exit_status.hpp"
#include "core/splay.hpp"

#include <set>
#include <string>

#include <gmock/gmock.h>

namespace reapctl::core {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(LockName, IsWhatAFileInADirectoryOfOursCanBeCalled) {
  for (const char* name : {"a", "backup", "A.b_c-9", "...", ".hidden"}) EXPECT_TRUE(is_lock_name(name)) << name;
  EXPECT_TRUE(is_lock_name(std::string(64, 'x')));
  for (const char* name : {"", ".", "..", "a/b", "a b", "é", "a\n"}) EXPECT_FALSE(is_lock_name(name)) << name;
  EXPECT_FALSE(is_lock_name(std::string(65, 'x')));
  EXPECT_FALSE(is_lock_name({"a\0b", 3}));
}

TEST(FormerHolder, OfAKilledReapctlIsFinishedFirst) {
  const RunRecord record;
  for (const Verdict verdict : {Verdict::orphaned, Verdict::cleaning, Verdict::released, Verdict::gone}) {
    EXPECT_EQ(about_former_holder(record, verdict), FormerMove::finish) << name_of(verdict);
  }
  for (const Verdict verdict : {Verdict::active, Verdict::unknown}) {
    EXPECT_EQ(about_former_holder(record, verdict), FormerMove::look_again) << name_of(verdict);
  }
}

TEST(FormerHolder, OfAnotherPidNamespaceIsDeadForSureOnlyIfItWasItsInit) {
  RunRecord record;
  record.supervisor.pid = 1;
  EXPECT_EQ(about_former_holder(record, Verdict::foreign), FormerMove::start);
  record.guard = ProcessId{.pid = 1};
  record.supervisor.pid = 2;
  EXPECT_EQ(about_former_holder(record, Verdict::foreign), FormerMove::refuse);
  record.guard.reset();
  EXPECT_EQ(about_former_holder(record, Verdict::foreign), FormerMove::refuse);
}

OverlapMove move(OnOverlap policy, const LockHolder& holder, bool waited_out = false,
                 std::optional<Millis> limit = {}) {
  return about_holder({.name = "x", .on_overlap = policy, .wait_limit = limit}, holder, waited_out);
}

TEST(Overlap, EachPolicyDoesWhatItSays) {
  const LockHolder holder{.run_id = "A", .state = RecordState::running};
  EXPECT_EQ(move(OnOverlap::skip, holder), OverlapMove::lose);
  EXPECT_EQ(move(OnOverlap::fail, holder), OverlapMove::lose);
  EXPECT_EQ(move(OnOverlap::wait, holder), OverlapMove::wait);
  EXPECT_EQ(move(OnOverlap::wait, holder, true, Millis(5)), OverlapMove::lose);
  EXPECT_EQ(move(OnOverlap::kill, holder), OverlapMove::stop_holder);
  EXPECT_EQ(overlap_exit_code(OnOverlap::skip), 0);
  EXPECT_EQ(overlap_exit_code(OnOverlap::fail), 75);
  EXPECT_EQ(overlap_exit_code(OnOverlap::wait), 75);
}

TEST(Overlap, AHolderThatIsNotOnRecordYetCannotBeStoppedYet) {
  EXPECT_EQ(move(OnOverlap::kill, {}), OverlapMove::wait);
}

TEST(Overlap, NobodyWaitsForEverForARunThatEnclosesHimOrKillsIt) {
  const LockHolder holder{.run_id = "A", .encloses_us = true};
  EXPECT_EQ(move(OnOverlap::skip, holder), OverlapMove::lose);
  EXPECT_EQ(move(OnOverlap::wait, holder), OverlapMove::refuse);
  EXPECT_EQ(move(OnOverlap::wait, holder, false, Millis(5)), OverlapMove::wait);
  EXPECT_EQ(move(OnOverlap::kill, holder), OverlapMove::refuse);
}

TEST(Overlap, WhatWasReleasedIsNeverKilled) {
  EXPECT_EQ(move(OnOverlap::kill, {.run_id = "A", .state = RecordState::released}), OverlapMove::refuse);
}

TEST(HolderSentence, SaysWhoSinceWhenAndWhatItIsDoing) {
  const WallTime start{};
  LockHolder holder{.run_id = "9A0C",
                    .name = "nightly",
                    .reapctl_pid = 810,
                    .state = RecordState::running,
                    .started_at = start,
                    .command = "backup --full",
                    .main = ProcessDetails{.pid = 1204, .state = 'S', .wchan = "do_wait"}};
  const WallTime now = start + std::chrono::minutes(3);
  EXPECT_EQ(holder_sentence("backup", holder, now),
            "lock \"backup\" is held by run 9A0C nightly (reapctl 810) since 1970-01-01T00:00:00.000Z, for 3m00s: "
            "running backup --full (pid 1204, state S in do_wait)");
  holder.main.reset();
  EXPECT_THAT(holder_sentence("backup", holder, now), HasSubstr(": waiting for what is left of backup --full"));
  holder.state = RecordState::stopping;
  EXPECT_THAT(holder_sentence("backup", holder, now), HasSubstr(": stopping backup --full"));
  EXPECT_THAT(holder_sentence("backup", holder, now), Not(HasSubstr("inside")));
  holder.encloses_us = true;
  EXPECT_THAT(holder_sentence("backup", holder, now), HasSubstr("this run was started inside of it"));
  holder.inside_of = "1ADD";
  EXPECT_THAT(holder_sentence("backup", holder, now),
              HasSubstr("; it was started inside of run 1ADD, which took the lock and whose reapctl is dead"));
  EXPECT_EQ(holder_sentence("b", {}, now), "lock \"b\" is held by a run that is just starting, or just ending");
}

TEST(Splay, IsStableBelowItsRangeAndZeroWithoutOne) {
  constexpr Millis kHour{3'600'000};
  const Millis offset = splay_offset("0123456789abcdef0123456789abcdef", "backup", kHour);
  EXPECT_EQ(offset, splay_offset("0123456789abcdef0123456789abcdef", "backup", kHour));
  EXPECT_EQ(offset.count(), 1'024'884) << "the same in every version, or a day would have two runs";
  EXPECT_EQ(splay_offset("m", "n", Millis(0)), Millis(0));
  EXPECT_EQ(splay_offset("m", "n", Millis(1)), Millis(0));
  EXPECT_NE(splay_offset("ma", "n", kHour), splay_offset("m", "an", kHour));
}

TEST(Splay, SpreadsMachinesAndNamesEvenly) {
  constexpr int kMachines = 1000;
  constexpr int kSlots = 10;
  int in_slot[kSlots] = {};
  for (int machine = 0; machine < kMachines; ++machine) {
    const Millis offset = splay_offset("machine-" + std::to_string(machine), "backup", Millis(kSlots * 1000));
    ASSERT_GE(offset.count(), 0);
    ASSERT_LT(offset.count(), kSlots * 1000);
    ++in_slot[offset.count() / 1000];
  }
  for (const int count : in_slot) {
    EXPECT_GT(count, kMachines / kSlots / 2);
    EXPECT_LT(count, kMachines / kSlots * 2);
  }
}

TEST(ExitCodeBeforeStart, IsThatOfTheSignal) {
  EXPECT_EQ(exit_code_before_start(15), 143);
  EXPECT_EQ(exit_code_before_start({}), 125);
}

}  // namespace
}  // namespace reapctl::core
