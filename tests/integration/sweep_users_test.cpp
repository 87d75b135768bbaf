#include "support/json_sink.hpp"
#include "support/process.hpp"
#include "support/sweep_fixture.hpp"
#include "support/users.hpp"

#include <filesystem>
#include <string>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

/// Root over all users.
namespace reapctl::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

class SweepForUsers : public testing::Test {
 protected:
  static Outcome in_namespaces(const std::string& script) { return in_users_namespaces(script); }
};

nlohmann::json last_json_line(const std::string& text) {
  const auto begin = text.rfind("{\"schema_version\"");
  if (begin == std::string::npos) return {};
  const std::string line = text.substr(begin, text.find('\n', begin) - begin);
  keep_json("sweep", line);
  return nlohmann::json::parse(line, nullptr, false);
}

TEST_F(SweepForUsers, RootIsToldOfOthersAndCleansUpAfterThemOnRequest) {
  REQUIRE_ROOT_AND_NAMESPACES();
  const Outcome outcome = in_namespaces(R"sh(
    orphan_of_nobody sleep 1000
    main=$(sed 's/.*"main":{"pid":\([0-9]*\).*/\1/' "$record")
    "$reapctl" sweep; echo "code $?"
    alive $main && echo "alive"
    "$reapctl" list
    "$reapctl" sweep --all-users --json; echo "code $?"
    alive $main || echo "dead"
    alive $victim && echo "victim alive"
    ls -A /run/reapctl/65534 /run/base
  )sh");
  EXPECT_THAT(outcome.out, HasSubstr("1 orphaned run of user nobody (add --all-users)\ncode 0\nalive")) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("orphaned"));
  EXPECT_THAT(outcome.out, HasSubstr("code 0\ndead\nvictim alive\n/run/base:\n\n/run/reapctl/65534:\n")) << outcome.err;
  const auto report = last_json_line(outcome.out);
  EXPECT_EQ(report["summary"]["killed"], 1);
  EXPECT_EQ(report["victims"][0]["user"], "nobody");
}

TEST_F(SweepForUsers, ARecordCannotMakeRootKillOrDelete) {
  REQUIRE_ROOT_AND_NAMESPACES();
  const Outcome outcome = in_namespaces(R"sh(
    orphan_of_nobody sleep 1000
    id=$(basename "$(dirname "$record")")
    ticks=$(sed 's/.*) //' /proc/$victim/stat | cut -d' ' -f20)
    mkdir /run/precious/reapctl-$id && echo y > /run/precious/reapctl-$id/file
    set -- $(stat -c '%d %i' /run/precious/reapctl-$id) $(stat -c '%d %i' /run/precious)
    sed -i "s|\"main\":{\"pid\":[0-9]*,\"start_ticks\":[0-9]*|\"main\":{\"pid\":$victim,\"start_ticks\":$ticks|
            s|\"path\":\"/run/base/reapctl-$id\"|\"path\":\"/run/precious/reapctl-$id\"|
            s|\"device\":[0-9]*,\"inode\":[0-9]*|\"device\":$1,\"inode\":$2|; s|\"uid\":65534|\"uid\":0|
            s|\"owner\":[0-9]*|\"owner\":0|
            s|\"birth_time_ns\":[0-9]*|\"birth_time_ns\":$(stat -c %.9W /run/precious/reapctl-$id | tr -d .)|
            s|\"remove\":\[\]|\"remove\":[{\"path\":\"/run/precious/file\",\"parent_device\":$3,\"parent_inode\":$4}]|" "$record"
    chown 65534 "$record"
    "$reapctl" sweep --all-users --json --ladder KILL; echo "code $?"
    alive $victim && echo "victim alive"
    cat /run/precious/file /run/precious/reapctl-$id/file
  )sh");
  EXPECT_THAT(outcome.out, HasSubstr("code 4\nvictim alive\nx\ny\n")) << outcome.err;
  const auto report = last_json_line(outcome.out);
  ASSERT_EQ(report["survivors"].size(), 1U) << report;
  EXPECT_THAT(report["survivors"][0]["reason"].dump(), HasSubstr("EPERM"));
}

TEST_F(SweepForUsers, ARecordCannotHoldUpRoot) {
  REQUIRE_ROOT_AND_NAMESPACES();
  // Whom no signal reaches is not waited for, however long the rungs; the first process is nobody's command.
  const Outcome outcome = in_namespaces(R"sh(
    orphan_of_nobody sleep 1000
    as_nobody cp "$record" /run/base/good
    name_main() { sed "s|\"main\":{\"pid\":[0-9]*,\"start_ticks\":[0-9]*|\"main\":{\"pid\":$1,\"start_ticks\":$(ticks_of $1)|
                       s|\"start_ticks\":[0-9]*},\"state\"|\"start_ticks\":0},\"state\"|" /run/base/good > "$record"; }
    name_main $victim
    "$reapctl" sweep --all-users --ladder INT/TERM:1h,TERM:1h,KILL --stop-timeout 3h | grep -q 'refused with EPERM' && echo refused
    as_nobody cp /run/base/good "$record"
    name_main 1
    "$reapctl" sweep --all-users --ladder INT/TERM:1h,TERM:1h,KILL --stop-timeout 3h | grep -q 'names the first process' && echo 'no record'
    alive $victim && echo "victim alive"
  )sh");
  EXPECT_EQ(outcome.out, "refused\nno record\nvictim alive\n") << outcome.err;
}

TEST_F(SweepForUsers, EndsTheOrphansOfEveryUserAndNoActiveRun) {
  REQUIRE_ROOT_AND_NAMESPACES();
  const std::string script = R"sh(
    start_as() { as=$1; shift; $as setsid "$reapctl" run --report none --workdir-base /run/base --name "$1" -- "$@" & }
    as_root() { env -u REAPCTL_REGISTRY "$@"; }
    cp "$(command -v sleep)" /run/dead; cp "$(command -v sleep)" /run/live
    for as in as_nobody as_root; do for i in 1 2 3; do start_as $as /run/dead 1000; start_as $as /run/live 1000; done; done
    until [ "$(grep -l '"origin":{' /run/reapctl/*/*/record.json 2>/dev/null | wc -l)" = 12 ]; do :; done
    dead=$(pgrep -x dead) live=$(pgrep -x live)
    for record in $(grep -l '"name":"/run/dead"' /run/reapctl/*/*/record.json); do
      supervisor=$(pid_of supervisor) guard=$(pid_of guard)
      kill -STOP $guard; kill -KILL $supervisor; while alive $supervisor; do :; done
      kill -KILL $guard; while alive $guard; do :; done
    done
    SWEEP
    for pid in $dead; do alive $pid && echo "dead one alive"; done
    for pid in $live; do alive $pid || echo "live one dead"; done
    ls -d /run/reapctl/0/* /run/reapctl/65534/* /run/base/* | wc -l
    "$reapctl" sweep --all-users --json
    "$reapctl" sweep --all-users --include-active > /dev/null  # a cgroup outlives the namespace and its reapctl
  )sh";
  const auto with = [&script](const std::string& sweep) {
    std::string text = script;
    return text.replace(text.find("SWEEP"), 5, sweep);
  };
  for (const char* sweep : {R"("$reapctl" sweep --all-users > /dev/null; echo "code $?")",
                            R"("$reapctl" sweep --all-users > /dev/null & "$reapctl" sweep --all-users > /dev/null;
                               echo "code $?"; wait $! && echo "code 0")"}) {
    const Outcome outcome = in_namespaces(with(sweep));
    const std::string codes = std::string(sweep).find("wait") == std::string::npos ? "code 0\n" : "code 0\ncode 0\n";
    EXPECT_THAT(outcome.out, testing::StartsWith(codes + "12\n")) << outcome.err;
    const auto report = last_json_line(outcome.out);
    EXPECT_EQ(report["summary"]["runs_orphaned"], 0);
    EXPECT_EQ(report["summary"]["runs_active"], 6);
  }
}

TEST_F(SweepForUsers, ARecordCannotMakeRootStopAStranger) {
  REQUIRE_ROOT_AND_NAMESPACES();
  // Its reapctl is alive and holds the lock, but the record says that it is a process of root's.
  const Outcome outcome = in_namespaces(R"sh(
    run_of_nobody sleep 1000
    id=$(basename "$(dirname "$record")")
    as_nobody cp "$record" /run/base/good
    for signal in 15 9; do
      sed "s#\"\\(guard\\|supervisor\\)\":{[^}]*}#\"\\1\":{\"pid\":$victim,\"start_ticks\":$(ticks_of $victim)}#g
           s|\"stop_signal\":[0-9]*|\"stop_signal\":$signal|" /run/base/good > "$record"
      "$reapctl" stop --name sleep --stop-timeout 100ms; echo "code $?"
      "$reapctl" stop $id --stop-timeout 100ms; echo "code $?"
      "$reapctl" sweep --all-users --include-active --stop-timeout 100ms >/dev/null; echo "code $?"
      alive $victim && echo "victim alive"
    done
    cat /run/base/good > "$record"
    "$reapctl" stop --name sleep; echo "code $?"
    alive $main || alive $guard || echo "gone"
    ls -A /run/reapctl/65534
  )sh");
  EXPECT_EQ(outcome.out,
            "code 4\ncode 4\ncode 4\nvictim alive\n"
            "code 1\ncode 1\ncode 0\nvictim alive\n"  // no record, and its lock is held
            "code 0\ngone\n")
      << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("its reapctl by the record, is another user's"));
}

TEST_F(SweepForUsers, StopByRootContinuesAStoppedReapctlAndIsBounded) {
  REQUIRE_ROOT_AND_NAMESPACES();
  const Outcome outcome = in_namespaces(R"sh(
    run_of_nobody sleep 1000
    kill -STOP $guard $supervisor
    "$reapctl" stop --name sleep; echo "code $?"
    alive $main || alive $guard || echo "gone"
  )sh");
  EXPECT_EQ(outcome.out, "code 0\ngone\n") << outcome.err;
}

TEST_F(SweepForUsers, StopContinuesAReapctlThatIsStoppedWhileItIsWaitedFor) {
  REQUIRE_ROOT_AND_NAMESPACES();
  const Outcome outcome = in_namespaces(R"sh(
    run_of_nobody sh -c 'trap "" INT TERM; exec sleep 1000'
    "$reapctl" stop --name sh & stop=$!
    until grep -q '"state":"stopping"' "$record"; do :; done
    kill -STOP $guard $supervisor
    kill -KILL $main
    wait $stop; echo "code $?"
    alive $guard || echo "gone"
  )sh");
  EXPECT_EQ(outcome.out, "code 0\ngone\n") << outcome.err;
}

TEST_F(SweepForUsers, AnotherUsersEntryOfTheSameIdKeepsRootFromNothing) {
  REQUIRE_ROOT_AND_NAMESPACES();
  const Outcome outcome = in_namespaces(R"sh(
    "$reapctl" run --report none --workdir-base /run/base --name job -- sleep 1000 &
    until grep -q '"origin":{' /run/reapctl/0/*/record.json 2>/dev/null; do :; done
    id=$(ls /run/reapctl/0)
    as_nobody mkdir -m 700 -p /run/reapctl/65534/$id
    as_nobody chmod 700 /run/reapctl/65534
    as_nobody touch /run/reapctl/65534/$id/lock
    as_nobody cp /dev/stdin /run/reapctl/65534/$id/record.json < /run/reapctl/0/$id/record.json
    "$reapctl" show $id | head -1
    "$reapctl" show --pid $! | head -1
    "$reapctl" list | grep -c 'id of another run'
    "$reapctl" stop $id; echo "code $?"
    ls /run/reapctl/0
  )sh");
  EXPECT_THAT(outcome.out, testing::MatchesRegex("[0-9A-F]* job: active\n[0-9A-F]* job: active\n1\ncode 0\n"))
      << outcome.err;
}

TEST_F(SweepForUsers, OneChildActsForEachUserWhateverNamesHeTakes) {
  REQUIRE_ROOT_AND_NAMESPACES();
  const Outcome outcome = in_namespaces(R"sh(
    name=65534
    as_nobody mkdir -m 700 /run/reapctl/$name
    for i in 1 2 3 4 5; do name=0$name; as_nobody mkdir -m 700 -p /run/reapctl/$name/00000000000000AA; done
    "$reapctl" sweep --all-users; echo "code $?"
    ls /run/reapctl | wc -l; ls /run/reapctl/065534
  )sh");
  EXPECT_EQ(outcome.out, "Nothing to sweep.\ncode 0\n6\n00000000000000AA\n") << outcome.err;
}

TEST_F(SweepForUsers, APlaceThatCannotBeLookedIntoIsNoEmptyOne) {
  REQUIRE_ROOT_AND_NAMESPACES();
  const Outcome outcome = in_namespaces(R"sh(
    orphan_of_nobody sleep 1000
    chmod 0 /run/reapctl/65534
    as_nobody "$reapctl" sweep; echo "code $?"
    as_nobody "$reapctl" list; echo "code $?"
    as_nobody "$reapctl" stop --name sleep 2>/dev/null; echo "code $?"
    as_nobody "$reapctl" show --pid $main 2>/dev/null; echo "code $?"
    chmod 0770 /run/reapctl/65534
    as_nobody "$reapctl" sweep; echo "code $?"
    alive $main && echo "alive"
    chmod 0700 /run/reapctl/65534
    as_nobody "$reapctl" sweep >/dev/null; echo "code $?"
    alive $main || echo "dead"
  )sh");
  EXPECT_EQ(outcome.out,
            "Nothing to sweep.\nWARNING  cannot open /run/reapctl/65534: Permission denied\ncode 4\n"
            "No runs.\nwarning: cannot open /run/reapctl/65534: Permission denied\ncode 4\n"
            "code 4\ncode 4\n"
            "Nothing to sweep.\nWARNING  cannot use /run/reapctl/65534 as a registry: others can write to it\ncode 4\n"
            "alive\ncode 0\ndead\n")
      << outcome.err;
}

TEST_F(SweepForUsers, OnAReadOnlyDiskTheOrphanDiesAndTheRecordStays) {
  REQUIRE_ROOT_AND_NAMESPACES();
  const Outcome outcome = in_namespaces(R"sh(
    as_nobody mkdir -m 700 /run/reapctl/65534
    mount -t tmpfs -o mode=700,uid=65534 tmpfs /run/reapctl/65534
    orphan_of_nobody sleep 1000
    mount -o remount,ro /run/reapctl/65534
    as_nobody "$reapctl" sweep --ladder KILL | grep -o 'Read-only file system'
    alive $main || echo "dead"
    mount -o remount,rw /run/reapctl/65534
    as_nobody "$reapctl" sweep >/dev/null; echo "code $?"
    ls /run/reapctl/65534
  )sh");
  EXPECT_EQ(outcome.out, "Read-only file system\ndead\ncode 0\n") << outcome.err;
}

TEST_F(SweepForUsers, HiddenProcessesMakeTheCensusIncomplete) {
  REQUIRE_ROOT_AND_NAMESPACES();
  const Outcome outcome = in_namespaces(R"sh(
    orphan_of_nobody sleep 1000
    mount -t proc -o hidepid=2 proc /proc || exit 99  # of this PID namespace, which is none of the machine's
    as_nobody "$reapctl" list | grep -c hidepid
    as_nobody "$reapctl" sweep --ladder KILL --json; echo "code $?"
    alive $main || echo "dead"
  )sh");
  EXPECT_THAT(outcome.out, testing::StartsWith("1\n")) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("code 0\ndead\n"));
  EXPECT_THAT(last_json_line(outcome.out)["skipped"].dump(), HasSubstr("hidepid"));
}

TEST_F(SweepForUsers, AForeignRunStaysUntilItIsNamed) {
  REQUIRE_ROOT_AND_NAMESPACES();
  const Outcome outcome = in_namespaces(R"sh(
    orphan_of_nobody sleep 1000
    kill -KILL $main
    id=$(basename "$(dirname "$record")")
    unshare --pid --fork --mount-proc setpriv --reuid=65534 --clear-groups "$reapctl" sweep; echo "code $?"
    unshare --pid --fork --mount-proc setpriv --reuid=65534 --clear-groups "$reapctl" sweep $id >/dev/null; echo "code $?"
    ls -A /run/reapctl/65534 /run/base
  )sh");
  EXPECT_THAT(outcome.out, HasSubstr("of another PID namespace")) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("clears it away\ncode 0\ncode 0\n/run/base:\n\n/run/reapctl/65534:\n"));
}

TEST_F(SweepForUsers, AWorkDirectoryInAnotherMountNamespaceKeepsItsRecord) {
  REQUIRE_ROOT_AND_NAMESPACES();
  const Outcome outcome = in_namespaces(R"sh(
    mkdir /run/elsewhere
    REAPCTL_REGISTRY=/run/r; export REAPCTL_REGISTRY; mkdir -m 700 /run/r
    mkfifo /run/hold
    unshare --mount sh -c 'mount -t tmpfs tmpfs /run/elsewhere; "$0" run --report none --workdir-base /run/elsewhere -- sleep 1000' "$reapctl" &
    until grep -q '"origin":{' /run/r/*/record.json 2>/dev/null; do :; done
    record=$(echo /run/r/*/record.json); id=$(ls /run/r)
    guard=$(pid_of guard) supervisor=$(pid_of supervisor)
    kill -STOP $guard; kill -KILL $supervisor; while alive $supervisor; do :; done
    kill -KILL $guard; while alive $guard; do :; done
    "$reapctl" sweep --ladder KILL | grep -c 'stays on record: .* cannot be seen from this mount namespace'
    ls /run/r | wc -l
    "$reapctl" sweep $id >/dev/null; echo "code $?"
    ls /run/r
  )sh");
  EXPECT_EQ(outcome.out, "1\n1\ncode 0\n") << outcome.err;
}

TEST_F(SweepForUsers, ALinkInPlaceOfARegistryIsRefused) {
  REQUIRE_ROOT_AND_NAMESPACES();
  const Outcome outcome = in_namespaces(R"sh(
    orphan_of_nobody sleep 1000
    as_nobody ln -s /run/precious /run/reapctl/12345
    "$reapctl" sweep --all-users --json --ladder KILL; echo "code $?"
    cat /run/precious/file
  )sh");
  EXPECT_THAT(outcome.out, HasSubstr("x\n"));
  EXPECT_THAT(last_json_line(outcome.out)["skipped"].dump(), HasSubstr("symbolic link"));
}

TEST_F(SweepForUsers, OnlyRootActsForOthers) {
  if (::geteuid() == 0) GTEST_SKIP() << "is root";
  EXPECT_EQ(run({.args = {"sweep", "--all-users"}}).code(), 125);
}

}  // namespace
}  // namespace reapctl::test
