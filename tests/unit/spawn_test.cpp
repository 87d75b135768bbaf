#include "engine/spawn.hpp"

#include "support/environment.hpp"
#include "support/forked.hpp"
#include "support/pipe.hpp"
#include "support/process.hpp"
#include "support/scoped_variable.hpp"
#include "sys/children.hpp"
#include "sys/descriptors.hpp"

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sched.h>
#include <span>
#include <sstream>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gmock/gmock.h>

namespace reapctl::engine {
namespace {

namespace fs = std::filesystem;
using test::Pipe;
using test::ScopedVariable;
using test::write_file;
using test::write_script;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class SpawnTest : public ::testing::Test {
 protected:
  void TearDown() override { EXPECT_FALSE(sys::has_children()) << "a process that nobody has reaped"; }

  [[nodiscard]] std::string path(const char* name) const { return directory_ / name; }

  static SpawnRequest request(std::vector<std::string> argv) {
    SpawnRequest made;
    made.argv = std::move(argv);
    return made;
  }

  /// Waits for what was started; -1 if it was not, or if a signal killed it.
  static int exit_code(const Spawned& spawned) {
    if (spawned.pid < 0) return -1;
    EXPECT_TRUE(test::await_end(spawned.pid));
    const auto ended = sys::reap(spawned.pid);
    return ended && ended->info.si_code == CLD_EXITED ? ended->info.si_status : -1;
  }

  /// What a shell script writes to `$0`.
  std::string output_of(const std::string& script, SpawnRequest made = {}) {
    made.argv = {"/bin/sh", "-c", script, path("out")};
    EXPECT_EQ(exit_code(spawn(made)), 0) << script;
    return test::read_file(path("out"));
  }

  /// The errno with which the exec failed.
  static int exec_error(const SpawnRequest& made) {
    const Spawned spawned = spawn(made);
    EXPECT_EQ(spawned.pid, -1) << exit_code(spawned);
    EXPECT_EQ(spawned.failed_stage, "exec");
    EXPECT_FALSE(spawned.executable == made.argv.front() && spawned.failed_errno == 0);
    return spawned.failed_errno;
  }
  static int exec_error(std::vector<std::string> argv) { return exec_error(request(std::move(argv))); }

  test::TempDir directory_;
};

/// A line of /proc/PID/status without its name.
std::string field(const std::string& status, const std::string& name) {
  std::istringstream lines(status);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(name + ":")) return line.substr(line.find_first_not_of(" \t", name.size() + 1));
  }
  return "";
}

// --- what runs

TEST_F(SpawnTest, RunsTheCommandWithItsArguments) {
  const Spawned spawned = spawn(request({"/bin/sh", "-c", "exit $#", "sh", "", "[a,b]", "-n"}));
  ASSERT_GT(spawned.pid, 0);
  EXPECT_EQ(spawned.executable, "/bin/sh");
  EXPECT_EQ(spawned.failed_stage, "");
  EXPECT_EQ(::fcntl(spawned.pid_fd.get(), F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(exit_code(spawned), 3);
}

TEST_F(SpawnTest, Exited127IsNoFailure) {
  const Spawned spawned = spawn(request({"/bin/sh", "-c", "exit 127"}));
  EXPECT_EQ(spawned.failed_stage, "");
  EXPECT_EQ(exit_code(spawned), 127);
}

TEST_F(SpawnTest, GivesTheEnvironmentAndNothingElse) {
  SpawnRequest made;
  made.environment.set("ONLY", "this");
  EXPECT_EQ(output_of("tr '\\0' '\\n' </proc/self/environ >\"$0\"", std::move(made)).substr(0, 10), "ONLY=this\n");
}

TEST_F(SpawnTest, WritesThePidBeforeTheCommandRuns) {
  std::atomic<pid_t> pid{0};
  SpawnRequest made = request({"/bin/true"});
  made.pid_out = &pid;
  const Spawned spawned = spawn(made);
  EXPECT_EQ(pid.load(), spawned.pid);
  EXPECT_EQ(exit_code(spawned), 0);
}

TEST_F(SpawnTest, StartsInTheDirectoryAndLeavesUsWhereWeAre) {
  const auto here = fs::current_path();
  const sys::UniqueFd directory(::open(directory_.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  SpawnRequest made;
  made.directory_fd = directory.get();
  EXPECT_EQ(output_of("pwd -P >\"$0\"", std::move(made)), fs::canonical(directory_.path()).string() + "\n");
  EXPECT_EQ(fs::current_path(), here);
}

TEST_F(SpawnTest, EntersTheGroup) {
  const std::string own_group = "read -r pid c s ppid pgid rest </proc/self/stat; echo $pid $pgid >\"$0\"";
  std::istringstream same(output_of(own_group));
  pid_t pid = 0;
  pid_t group = 0;
  same >> pid >> group;
  EXPECT_EQ(group, ::getpgrp());
  SpawnRequest made;
  made.group = 0;
  std::istringstream own(output_of(own_group, std::move(made)));
  own >> pid >> group;
  EXPECT_EQ(group, pid);
  made = {};
  made.group = ::getpgrp();
  std::istringstream given(output_of(own_group, std::move(made)));
  given >> pid >> group;
  EXPECT_EQ(group, ::getpgrp());
}

TEST_F(SpawnTest, CanKeepPrivilegesFromIt) {
  const std::string status = "exec cat /proc/self/status >\"$0\"";
  EXPECT_EQ(field(output_of(status), "NoNewPrivs"), "0");
  SpawnRequest made;
  made.no_new_privs = true;
  EXPECT_EQ(field(output_of(status, std::move(made)), "NoNewPrivs"), "1");
  EXPECT_EQ(field(test::read_file("/proc/self/status"), "NoNewPrivs"), "0") << "not from us";
}

// --- signals

TEST_F(SpawnTest, GivesTheSignalsThatTheCallerHad) {
  // Asked from outside: a shell sets signals as it likes them.
  const auto status_with = [](const sys::CallerSignals& caller_signals) {
    SpawnRequest made = request({"/bin/sleep", "1000"});
    made.caller_signals = caller_signals;
    const Spawned spawned = spawn(made);
    const std::string status = test::read_file("/proc/" + std::to_string(spawned.pid) + "/status");
    test::send_signal(spawned.pid, SIGKILL);
    EXPECT_EQ(exit_code(spawned), -1);
    return status;
  };
  const auto has = [](const std::string& text, const char* name, int signal) {
    return (std::stoull(field(text, name), nullptr, 16) >> (signal - 1) & 1U) != 0;
  };
  sys::CallerSignals caller;
  ::sigaddset(&caller.mask, SIGUSR1);
  caller.child_ignored = true;
  const std::string with = status_with(caller);
  EXPECT_TRUE(has(with, "SigBlk", SIGUSR1));
  EXPECT_FALSE(has(with, "SigBlk", SIGTERM));
  EXPECT_TRUE(has(with, "SigIgn", SIGCHLD));
  const std::string without = status_with({});
  EXPECT_EQ(std::stoull(field(without, "SigBlk"), nullptr, 16), 0U);
  EXPECT_FALSE(has(without, "SigIgn", SIGCHLD));
  // The child lives in our memory until its exec, but its signals are its own.
  const std::string ours = test::read_file("/proc/self/status");
  EXPECT_FALSE(has(ours, "SigBlk", SIGUSR1));
  EXPECT_FALSE(has(ours, "SigIgn", SIGCHLD));
}

TEST_F(SpawnTest, WhatWeBlockIsNotBlockedInTheCommand) {
  EXPECT_TRUE(test::holds_when_forked([] {
    const auto caller = sys::block_signals();
    SpawnRequest made = request({"/bin/sh", "-c", "kill -TERM $$; sleep 20"});
    made.caller_signals = caller;
    const Spawned spawned = spawn(made);
    (void)test::await_end(spawned.pid);
    const auto ended = sys::reap(spawned.pid);
    return ended && ended->info.si_code == CLD_KILLED && ended->info.si_status == SIGTERM;
  }));
}

// --- descriptors

TEST_F(SpawnTest, TheCommandHasOnlyWhatItIsToInherit) {
  const Pipe ours;
  const sys::UniqueFd inherited(::fcntl(2, F_DUPFD, 20));
  const sys::UniqueFd to_close(::fcntl(2, F_DUPFD, 30));
  SpawnRequest made;
  made.close_fds = {to_close.get()};
  std::string expected;
  const auto open = sys::open_descriptors();
  for (const int fd : *open) {
    const bool passed = (::fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0 && fd != to_close.get();
    if (passed && fd < 64) expected += std::to_string(fd) + "\n";
  }
  ASSERT_THAT(expected, HasSubstr(std::to_string(inherited.get())));
  EXPECT_EQ(
      output_of("exec >\"$0\"; n=0; while [ $n -lt 64 ]; do [ -e /proc/self/fd/$n ] && echo $n; n=$((n+1)); done; :",
                std::move(made)),
      expected);
}

TEST_F(SpawnTest, LeaksNoDescriptorOfOurs) {
  const auto before = sys::open_descriptors().value();
  EXPECT_EQ(exit_code(spawn(request({"/bin/true"}))), 0);
  EXPECT_EQ(exec_error({"/nonexistent"}), ENOENT);
  EXPECT_EQ(sys::open_descriptors().value(), before);
}

// --- what does not run

TEST_F(SpawnTest, TellsWhyTheExecFailed) {
  write_file(path("plain"), "#!/bin/sh\n");
  write_script(path("no_interpreter"), "#!/nonexistent/interpreter\n");
  EXPECT_EQ(exec_error({path("missing")}), ENOENT);
  EXPECT_EQ(exec_error(std::vector<std::string>{""}), ENOENT);
  EXPECT_EQ(exec_error({path("plain")}), EACCES) << "root may not either";
  EXPECT_EQ(exec_error({"/etc"}), EACCES);
  EXPECT_EQ(exec_error({path("plain/below")}), ENOTDIR);
  EXPECT_EQ(exec_error({path("no_interpreter")}), ENOENT);
  EXPECT_EQ(exec_error({"/bin/true", std::string(std::size_t{1} << 20U, 'x')}), E2BIG);
}

TEST_F(SpawnTest, AFileOpenForWritingIsBusy) {
  fs::copy_file("/bin/true", path("busy"));
  const sys::UniqueFd writer(::open(path("busy").c_str(), O_WRONLY | O_CLOEXEC));
  EXPECT_EQ(exec_error({path("busy")}), ETXTBSY);
}

TEST_F(SpawnTest, NamesTheStageThatFailed) {
  SpawnRequest made = request({"/bin/true"});
  const sys::UniqueFd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  made.directory_fd = file.get();
  const Spawned chdir = spawn(made);
  EXPECT_EQ(chdir.pid, -1);
  EXPECT_EQ(chdir.failed_stage, "chdir");
  EXPECT_EQ(chdir.failed_errno, ENOTDIR);
  made = request({"/bin/true"});
  made.group = 4194305;  // there is none above PID_MAX_LIMIT, proc(5)
  const Spawned group = spawn(made);
  EXPECT_EQ(group.pid, -1);
  EXPECT_EQ(group.failed_stage, "setpgid");
  EXPECT_EQ(group.failed_errno, EPERM);
}

// --- where it is looked for

TEST_F(SpawnTest, AScriptWithoutInterpreterLineRunsInTheShell) {
  write_script(path("script"), "exit $#\n");
  const Spawned spawned = spawn(request({path("script"), "a", "b"}));
  EXPECT_EQ(spawned.executable, path("script"));
  EXPECT_EQ(exit_code(spawned), 2);
}

TEST_F(SpawnTest, FollowsThePathOfTheCaller) {
  for (const char* name : {"first", "second", "third"}) fs::create_directory(path(name));
  write_file(path("first/tool"), "not executable");
  write_script(path("second/tool"), "#!/bin/sh\nexit 2\n");
  write_script(path("third/tool"), "#!/bin/sh\nexit 3\n");
  write_file(path("file"), "");
  const auto in = [this](std::initializer_list<const char*> directories) {
    std::string joined;
    for (const char* name : directories) joined += (joined.empty() ? "" : ":") + path(name);
    return joined;
  };
  {
    const ScopedVariable variable("PATH", in({"missing", "file", "first", "second", "third"}).c_str());
    const Spawned spawned = spawn(request({"tool"}));
    EXPECT_EQ(spawned.executable, path("second/tool"));
    EXPECT_EQ(exit_code(spawned), 2);
    EXPECT_EQ(exec_error({"no_such_tool"}), ENOENT);
    EXPECT_EQ(exec_error({"./tool"}), ENOENT) << "a name with a slash is not looked for";
  }
  const ScopedVariable variable("PATH", in({"first", "missing"}).c_str());
  EXPECT_EQ(exec_error({"tool"}), EACCES) << "found, but it may not be executed: that says more than not found";
}

TEST_F(SpawnTest, AnEmptyElementOfThePathIsTheCurrentDirectory) {
  write_script(path("tool"), "#!/bin/sh\nexit 4\n");
  const sys::UniqueFd directory(::open(directory_.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  SpawnRequest made = request({"tool"});
  made.directory_fd = directory.get();
  for (const char* value : {"", "/nonexistent:", ":/nonexistent"}) {
    const ScopedVariable variable("PATH", value);
    EXPECT_EQ(exit_code(spawn(made)), 4) << '"' << value << '"';
  }
}

TEST_F(SpawnTest, WithoutAPathTheUsualDirectoriesAreSearched) {
  const ScopedVariable variable("PATH", nullptr);
  const Spawned spawned = spawn(request({"true"}));
  EXPECT_EQ(spawned.executable, "/bin/true");
  EXPECT_EQ(exit_code(spawned), 0);
}

// --- whose start is not wanted any more

/// In the new process, before its exec.
void kill_the_parent(std::span<char> /*slot*/, const core::MainOnRecord& /*main*/) {
  const pid_t parent = ::getppid();
  (void)::kill(parent, SIGKILL);
  while (::getppid() == parent) (void)::sched_yield();
}

TEST_F(SpawnTest, WhoseParentIsDeadDoesNotBecomeTheCommand) {
  const sys::UniqueFd record(::memfd_create("record", MFD_CLOEXEC));
  ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
  const int status = test::status_of_forked([&] {
    SpawnRequest made = request({"/bin/true"});
    made.note = {.fd = record.get(), .offset = 0, .size = 1, .fill = kill_the_parent};
    return spawn(made).pid > 0;
  });
  EXPECT_TRUE(WIFSIGNALED(status));
  int of_orphan = 0;
  EXPECT_GT(::waitpid(-1, &of_orphan, 0), 0);
  EXPECT_TRUE(WIFEXITED(of_orphan) && WEXITSTATUS(of_orphan) != 0) << of_orphan;
  (void)::prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
}

/// In the new process: its exec is not reached for as long as this hangs.
void hang(std::span<char> /*slot*/, const core::MainOnRecord& /*main*/) {
  (void)::pause();
}

TEST_F(SpawnTest, WhoHangsBeforeTheExecIsKilledOnceItIsInVain) {
  const sys::UniqueFd record(::memfd_create("record", MFD_CLOEXEC));
  SpawnRequest made = request({"/bin/true"});
  made.note = {.fd = record.get(), .offset = 0, .size = 1, .fill = hang};
  int asked = 0;
  made.in_vain = [&] { return ++asked == 3; };
  const Spawned spawned = spawn(made);
  EXPECT_TRUE(spawned.given_up);
  ASSERT_GT(spawned.pid, 0);
  EXPECT_TRUE(test::await_end(spawned.pid));
  const auto ended = sys::reap(spawned.pid);
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->info.si_code, CLD_KILLED);
}

}  // namespace
}  // namespace reapctl::engine
