#include "support/process.hpp"
#include "support/reapctl.hpp"

#include <csignal>
#include <filesystem>
#include <string>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

/// The private working directory.
namespace reapctl::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::MatchesRegex;

/// A base directory of this test's own, in which reapctl makes its directories.
class Workdir : public testing::Test {
 protected:
  Workdir() { fs::create_directory(base_); }

  [[nodiscard]] Outcome run_here(Args options, Args command) const {
    options.insert(options.begin(), {"--workdir-base", base_});
    return run(run_of(std::move(options), std::move(command)));
  }

  [[nodiscard]] bool nothing_left() const { return fs::is_empty(base_); }

  TempDir directory_;
  std::string base_ = directory_ / "base";
};

TEST_F(Workdir, IsPrivateNamedAfterTheRunAndDeleted) {
  const Outcome outcome =
      run_here({}, sh("echo $REAPCTL_RUN_ID; echo $REAPCTL_WORKDIR; stat -c '%a %F' $REAPCTL_WORKDIR"));
  const std::string id = outcome.report["run_id"];
  EXPECT_THAT(id, MatchesRegex("[0-9A-F]{16}"));
  const std::string path = base_ + "/reapctl-" + id;
  EXPECT_EQ(outcome.out, id + "\n" + path + "\n700 directory\n");
  EXPECT_EQ(outcome.report["workdir"]["path"], path);
  EXPECT_EQ(outcome.report["workdir"]["kept"], false);
  EXPECT_EQ(outcome.report["workdir"]["files"], 0);
  EXPECT_EQ(outcome.report["workdir"]["directories"], 1);
  EXPECT_TRUE(outcome.report["workdir"]["errors"].empty());
  EXPECT_TRUE(nothing_left());
}

TEST_F(Workdir, IsBelowTmpdirByDefault) {
  Launch launch = run_of({}, sh("echo $REAPCTL_WORKDIR"));
  launch.env["TMPDIR"] = base_;
  const Outcome outcome = run(std::move(launch));
  EXPECT_THAT(outcome.out, HasSubstr(base_ + "/reapctl-"));
  EXPECT_TRUE(nothing_left());
}

TEST_F(Workdir, IsBelowTmpWithoutTmpdir) {
  Launch launch = run_of({}, sh("echo $REAPCTL_WORKDIR; test -d $REAPCTL_WORKDIR"));
  launch.unset_env = {"TMPDIR"};
  const Outcome outcome = run(std::move(launch));
  EXPECT_EQ(outcome.code(), 0);
  EXPECT_THAT(outcome.out, testing::StartsWith("/tmp/reapctl-"));
  EXPECT_FALSE(fs::exists(outcome.out.substr(0, outcome.out.size() - 1)));
}

TEST_F(Workdir, TwoRunsNeverShareOne) {
  const Outcome first = run_here({}, {"true"});
  const Outcome second = run_here({}, {"true"});
  EXPECT_NE(first.report["workdir"]["path"], second.report["workdir"]["path"]);
}

TEST_F(Workdir, IsDeletedWithEverythingInIt) {
  const Outcome outcome = run_here({}, sh(R"(cd "$REAPCTL_WORKDIR" && mkdir -p a/b/c 'new
line' && mkfifo fifo && ln -s /etc link && ln -s nowhere dangling && echo x > a/file && ln a/file a/b/hard &&
      echo secret > a/b/c/hidden && chmod 000 a/b/c/hidden && chmod 000 a/b/c && chmod 500 a)"));
  EXPECT_EQ(outcome.code(), 0) << outcome.err;
  EXPECT_EQ(outcome.report["workdir"]["directories"], 5);
  EXPECT_EQ(outcome.report["workdir"]["files"], 6);
  EXPECT_GT(outcome.report["workdir"]["bytes"], 0);
  EXPECT_TRUE(nothing_left());
  EXPECT_TRUE(fs::exists("/etc/passwd"));
}

TEST_F(Workdir, NothingOutsideIsTouched) {
  fs::create_directory(directory_ / "outside");
  write_file(directory_ / "outside/precious", "x");
  const Outcome outcome = run_here({}, sh("ln -s '" + directory_ / "outside" + "' \"$REAPCTL_WORKDIR/link\""));
  EXPECT_EQ(outcome.code(), 0);
  EXPECT_TRUE(fs::exists(directory_ / "outside/precious"));
  EXPECT_TRUE(nothing_left());
}

TEST_F(Workdir, IsDeletedWhenTheLastProcessIsDead) {
  // A straggler that ignores INT goes on making files until it is killed.
  const Outcome outcome = run_here({"--ladder", "INT:50ms,KILL"}, sh(R"(
      cd "$REAPCTL_WORKDIR" && mkfifo started
      setsid sh -c 'trap "" INT; echo x > started; i=0; while :; do i=$((i+1)); echo x > f$i; done' &
      read x < started
      exit 0)"));
  EXPECT_EQ(outcome.code(), 0);
  EXPECT_EQ(outcome.report["tree"]["leftovers"].size(), 1U);
  EXPECT_TRUE(outcome.report["workdir"]["errors"].empty());
  EXPECT_TRUE(nothing_left());
}

TEST_F(Workdir, CanBeDeclined) {
  Launch launch = run_of({"--no-workdir"}, sh("echo ${REAPCTL_WORKDIR-none}; ls \"$TMPDIR\""));
  launch.env["TMPDIR"] = base_;
  launch.env["REAPCTL_WORKDIR"] = "/of/an/outer/run";
  const Outcome outcome = run(std::move(launch));
  EXPECT_EQ(outcome.out, "none\n");
  EXPECT_TRUE(outcome.report["workdir"].is_null());
}

TEST_F(Workdir, WithoutABaseTheRunGoesOnWithAWarning) {
  Launch launch = run_of({}, sh("echo ${REAPCTL_WORKDIR-none}"));
  launch.env["TMPDIR"] = directory_ / "missing";
  const Outcome outcome = run(std::move(launch));
  EXPECT_EQ(outcome.code(), 0);
  EXPECT_EQ(outcome.out, "none\n");
  EXPECT_TRUE(outcome.report["workdir"].is_null());
  ASSERT_EQ(outcome.report["warnings"].size(), 1U);
  EXPECT_THAT(outcome.report["warnings"][0].get<std::string>(), HasSubstr(directory_ / "missing"));
}

TEST_F(Workdir, UseCwdStartsTheCommandInIt) {
  const Outcome outcome = run_here({"--workdir-use", "cwd"}, sh("pwd; echo ${TMP-unset}"));
  EXPECT_EQ(outcome.out, outcome.report["workdir"]["path"].get<std::string>() + "\nunset\n");
}

TEST_F(Workdir, UseTmpPointsTemporaryFilesIntoIt) {
  Launch launch = run_of({"--workdir-base", base_, "--workdir-use", "tmp"}, sh("pwd; echo $TMPDIR $TMP $TEMP"));
  launch.cwd = directory_.path();
  const Outcome outcome = run(std::move(launch));
  const std::string path = outcome.report["workdir"]["path"];
  EXPECT_EQ(outcome.out, directory_.path().string() + "\n" + path + " " + path + " " + path + "\n");
}

struct Keep {
  const char* when;
  const char* script;
  bool kept;
};

class KeepWorkdir : public Workdir, public testing::WithParamInterface<Keep> {};

TEST_P(KeepWorkdir, KeepsItThen) {
  const Outcome outcome = run_here({"--keep-workdir", GetParam().when, "--ok-exit", "3"},
                                   sh(std::string("echo x > $REAPCTL_WORKDIR/file; ") + GetParam().script));
  EXPECT_EQ(outcome.report["workdir"]["kept"], GetParam().kept);
  const std::string path = outcome.report["workdir"]["path"];
  EXPECT_EQ(fs::exists(path + "/file"), GetParam().kept);
  EXPECT_EQ(nothing_left(), !GetParam().kept);
}

INSTANTIATE_TEST_SUITE_P(Workdir, KeepWorkdir,
                         testing::Values(Keep{"never", "exit 0", false}, Keep{"never", "exit 1", false},
                                         Keep{"on-failure", "exit 0", false}, Keep{"on-failure", "exit 3", false},
                                         Keep{"on-failure", "exit 1", true}, Keep{"on-failure", "kill -HUP $$", true},
                                         Keep{"always", "exit 0", true}, Keep{"always", "exit 1", true}));

TEST_F(Workdir, RemoveUnlinksAStaleSocketAndFileAtTheEnd) {
  const std::string socket_path = directory_ / "socket";
  const std::string pid_path = directory_ / "pid";
  const Outcome outcome = run_here(
      {"--remove", socket_path, "--remove", pid_path, "--remove", directory_ / "never-there"},
      sh("python3 -c 'import socket,sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' '" + socket_path +
         "' 2>/dev/null || mkfifo '" + socket_path + "'; echo 1 > '" + pid_path + "'; test -e '" + socket_path + "'"));
  EXPECT_EQ(outcome.code(), 0) << outcome.err;
  EXPECT_FALSE(fs::exists(socket_path));
  EXPECT_FALSE(fs::exists(pid_path));
  EXPECT_TRUE(outcome.report["warnings"].empty()) << "what is not there needs no removing";
}

TEST_F(Workdir, RemoveNeverTakesADirectory) {
  fs::create_directory(directory_ / "directory");
  const Outcome outcome = run_here({"--remove", directory_ / "directory"}, {"true"});
  EXPECT_EQ(outcome.code(), 0);
  EXPECT_TRUE(fs::exists(directory_ / "directory"));
  ASSERT_EQ(outcome.report["warnings"].size(), 1U);
  EXPECT_THAT(outcome.report["warnings"][0].get<std::string>(), HasSubstr(directory_ / "directory"));
}

TEST_F(Workdir, RemoveOfARelativePathMeansTheCallersDirectory) {
  Launch launch = run_of({"--remove", "stale", "--workdir-use", "cwd"}, {"true"});
  launch.cwd = directory_.path();
  write_file(directory_ / "stale", "x");
  EXPECT_EQ(run(std::move(launch)).code(), 0);
  EXPECT_FALSE(fs::exists(directory_ / "stale"));
}

TEST_F(Workdir, SomebodyElsesDirectoryAtItsPlaceIsNotDeleted) {
  // The command moves its directory away and puts another one there.
  Launch launch = run_of({"--workdir-base", base_}, sh("mv \"$REAPCTL_WORKDIR\" '" + base_ +
                                                       "/moved' && mkdir \"$REAPCTL_WORKDIR\" && "
                                                       "echo x > \"$REAPCTL_WORKDIR/precious\""));
  launch.leaves_record = true;
  const Outcome outcome = run(std::move(launch));
  EXPECT_TRUE(fs::exists(outcome.report["workdir"]["path"].get<std::string>() + "/precious"));
  EXPECT_EQ(outcome.report["workdir"]["kept"], false) << "not on purpose";
  ASSERT_EQ(outcome.report["workdir"]["errors"].size(), 1U);
  EXPECT_EQ(outcome.report["workdir"]["errors"][0]["errno_name"], "ESTALE");
}

TEST_F(Workdir, ThatTheCommandDeletedItselfIsNoError) {
  const Outcome outcome = run_here({}, sh("rm -rf \"$REAPCTL_WORKDIR\""));
  EXPECT_EQ(outcome.code(), 0);
  EXPECT_TRUE(outcome.report["workdir"]["errors"].empty());
}

}  // namespace
}  // namespace reapctl::test
