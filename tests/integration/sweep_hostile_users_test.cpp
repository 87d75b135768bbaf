#include "support/namespace.hpp"
#include "support/users.hpp"

#include <filesystem>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

/// Users who mean harm to root's sweep.
namespace reapctl::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

/// Mounts a file system of nobody's at $1 that answers nobody.
std::string serve_nothing() {
  return "serve_nothing() { " + misbehave_path() + " serve-nothing=\"$1\" exit=0 || exit 98; }\n";
}

/// A run of nobody's, both of whose reapctl are dead, with its work directory where nobody answers any more.
std::string orphan_in_a_dead_place() {
  return serve_nothing() + R"sh(
    rmdir /run/base; mkdir -m 700 /run/base; chown 65534 /run/base
    orphan_of_nobody sleep 1000
    serve_nothing /run/base
  )sh";
}

#define REQUIRE_FUSE() \
  if (!fs::exists("/dev/fuse")) GTEST_SKIP() << "no /dev/fuse"

TEST(SweepForHostileUsers, WhatIsMountedInARegistryIsNotTouched) {
  REQUIRE_ROOT_AND_NAMESPACES();
  REQUIRE_FUSE();
  const Outcome outcome = in_users_namespaces(serve_nothing() + R"sh(
    mkdir -m 700 /run/reapctl/65534 /run/reapctl/65534/00000000000000AA /run/reapctl/12345
    chown -R 65534 /run/reapctl/65534; chown 12345 /run/reapctl/12345
    serve_nothing /run/reapctl/65534/00000000000000AA
    serve_nothing /run/reapctl/12345
    "$reapctl" sweep; echo "code $?"
    "$reapctl" list >/dev/null; echo "code $?"
    "$reapctl" sweep --all-users; echo "code $?"
  )sh");
  EXPECT_THAT(outcome.out, testing::StartsWith("Nothing to sweep.\ncode 0\ncode 0\n")) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("something is mounted on it"));
  EXPECT_THAT(outcome.out, testing::EndsWith("code 4\n"));
}

TEST(SweepForHostileUsers, AChildThatNotEvenAKillEndsIsLeftBehind) {
  REQUIRE_ROOT_AND_NAMESPACES();
  REQUIRE_FUSE();
  const Outcome outcome = in_users_namespaces(orphan_in_a_dead_place() + R"sh(
    "$reapctl" sweep -n --all-users --stop-timeout 0; echo "code $?"
  )sh");
  EXPECT_THAT(outcome.out, HasSubstr("hangs, and cannot even be killed")) << outcome.err;
  EXPECT_THAT(outcome.out, testing::EndsWith("code 4\n"));
}

TEST(SweepForHostileUsers, AFileSystemThatDoesNotAnswerHoldsUpNobody) {
  REQUIRE_ROOT_AND_NAMESPACES();
  REQUIRE_FUSE();
  const Outcome outcome = in_users_namespaces(orphan_in_a_dead_place() + R"sh(
    as_nobody "$reapctl" sweep --stop-timeout 0; echo "code $?"
    alive $main || echo "dead"
  )sh");
  EXPECT_THAT(outcome.out, HasSubstr("stays on record: the file system of what it has left behind does not answer"))
      << outcome.err;
  EXPECT_THAT(outcome.out, testing::EndsWith("code 4\ndead\n"));
}

TEST(SweepForHostileUsers, RecordsOfAnySizeCostRootLittle) {
  REQUIRE_ROOT_AND_NAMESPACES();
  const Outcome outcome = in_users_namespaces(R"sh(
    as_nobody mkdir -m 700 /run/reapctl/65534
    head -c 200000 /dev/zero | tr '\0' ' ' > /run/blanks
    as_nobody sh -c 'for i in $(seq 100 299); do d=/run/reapctl/65534/0000000000000$i; mkdir $d; cp /run/blanks $d/record.json; done'
    "$reapctl" list | grep warning
  )sh");
  EXPECT_EQ(outcome.out, "warning: /run/reapctl/65534 holds 200 runs, of which only 84 were looked at\n")
      << outcome.err;
}

TEST(SweepForHostileUsers, AReleasedDaemonThatCannotBeReadKeepsItsDirectory) {
  REQUIRE_ROOT_AND_NAMESPACES();
  // The daemon is another process than the one on record: it was left behind by that.
  const Outcome outcome = in_users_namespaces("misbehave=" + misbehave_path() + R"sh(
    mkfifo -m 666 /run/go /run/done
    as_nobody "$reapctl" run --report none --leftovers leave --workdir-base /run/base -- \
      sh -c "setsid sh -c 'read line </run/go; $misbehave fork [ setsid secret write=/run/done:x ] exit=0' & exit 0"
    echo > /run/go; head -c 1 < /run/done > /run/told
    as_nobody "$reapctl" sweep --json; echo "code $?"
    ls /run/base | wc -l
  )sh");
  EXPECT_THAT(outcome.out, HasSubstr("may be what it has left running")) << outcome.err;
  EXPECT_THAT(outcome.out, testing::EndsWith("code 0\n1\n"));
}

}  // namespace
}  // namespace reapctl::test
