#include "core/verdict.hpp"

#include <gtest/gtest.h>

namespace reapctl::core {
namespace {

RunRecord record_in(RecordState state) {
  RunRecord record;
  record.state = state;
  return record;
}

RunObservation seen_here(LockState lock, bool guard_alive, bool supervisor_alive) {
  return {.boot_known = true,
          .same_boot = true,
          .same_pid_namespace = true,
          .lock = lock,
          .guard_alive = guard_alive,
          .supervisor_alive = supervisor_alive};
}

TEST(Verdict, HeldByALivingReapctlIsActive) {
  const RunRecord record = record_in(RecordState::running);
  EXPECT_EQ(verdict(record, seen_here(LockState::held, true, true)), Verdict::active);
  EXPECT_EQ(verdict(record, seen_here(LockState::held, true, false)), Verdict::active);
  EXPECT_EQ(verdict(record, seen_here(LockState::held, false, true)), Verdict::active);
}

TEST(Verdict, HeldByNobodyOnRecordIsBeingCleaned) {
  EXPECT_EQ(verdict(record_in(RecordState::running), seen_here(LockState::held, false, false)), Verdict::cleaning);
}

TEST(Verdict, FreeWithBothDeadIsOrphanedWhateverTheState) {
  for (const RecordState state : {RecordState::starting, RecordState::running, RecordState::stopping}) {
    EXPECT_EQ(verdict(record_in(state), seen_here(LockState::free, false, false)), Verdict::orphaned);
  }
  EXPECT_EQ(verdict(record_in(RecordState::released), seen_here(LockState::free, false, false)), Verdict::released);
}

TEST(Verdict, WhatContradictsItselfIsUnknown) {
  const RunRecord record = record_in(RecordState::running);
  EXPECT_EQ(verdict(record, seen_here(LockState::free, true, false)), Verdict::unknown);
  EXPECT_EQ(verdict(record, seen_here(LockState::free, false, true)), Verdict::unknown);
  EXPECT_EQ(verdict(record, seen_here(LockState::missing, false, false)), Verdict::unknown);
  EXPECT_EQ(verdict(record, seen_here(LockState::missing, true, true)), Verdict::unknown);
}

TEST(Verdict, AnotherBootIsGoneAndAnotherNamespaceForeign) {
  RunObservation seen = seen_here(LockState::free, false, false);
  seen.same_pid_namespace = false;
  EXPECT_EQ(verdict(record_in(RecordState::running), seen), Verdict::foreign);
  seen.same_boot = false;
  EXPECT_EQ(verdict(record_in(RecordState::running), seen), Verdict::gone);
}

TEST(Verdict, ABootThatIsNotKnownIsNotAnotherOne) {
  RunObservation seen = seen_here(LockState::free, false, false);
  seen.boot_known = false;
  EXPECT_EQ(verdict(record_in(RecordState::running), seen), Verdict::unknown) << "both unknown";
  seen.same_boot = false;
  EXPECT_EQ(verdict(record_in(RecordState::running), seen), Verdict::unknown) << "one of them";
}

}  // namespace
}  // namespace reapctl::core
