#include "support/process.hpp"
#include "support/reapctl.hpp"
#include "support/strace.hpp"
#include "support/terminal.hpp"
#include "support/tool.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <linux/fs.h>
#include <poll.h>
#include <sched.h>
#include <string>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

/// A deletion that takes long, or for ever: what the terminal shows, and what --stop-timeout leaves to a sweep.
namespace reapctl::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

class Removal : public testing::Test {
 protected:
  Removal() {
    fs::create_directory(base_);
    fs::create_directory(registry_);
    fs::permissions(registry_, fs::perms(0700));
  }

  /// strace with every unlinkat of reapctl's threads delayed.
  [[nodiscard]] Args slow(const std::string& microseconds) const {
    return strace(directory_ / "strace",
                  {"-f", "-e", "trace=unlinkat", "-e", "inject=unlinkat:delay_enter=" + microseconds});
  }

  /// `reapctl run` with 30 files to delete, each in a tenth of a second, and no more than 16 by one thread: at least a
  /// second and a half.
  [[nodiscard]] Args slow_run() const {
    Args command = slow("100000");
    command.insert(command.end(), {reapctl_path(), "run", "--report", "none", "--workdir-base", base_, "--", "sh", "-c",
                                   "cd $REAPCTL_WORKDIR && touch $(seq 30)"});
    return command;
  }

  /// Whoever is stopped with a directory that cannot be deleted; then it can be, and a sweep does it.
  void expect_left_to_a_sweep(const Outcome& outcome) const {
    EXPECT_EQ(outcome.report["result"], "stopped");
    EXPECT_EQ(outcome.report["stop"]["timeout_hit"], true);
    EXPECT_EQ(outcome.report["workdir"]["kept"], false) << "not on purpose";
    EXPECT_THAT(outcome.report["warnings"].dump(), HasSubstr("before --stop-timeout ended the run"));
    const std::string left = outcome.report["workdir"]["path"];
    EXPECT_TRUE(fs::exists(left));
    Launch launch{.args = {"sweep", "--json"}};
    launch.env["REAPCTL_REGISTRY"] = registry_;
    const Outcome swept = run(std::move(launch));
    EXPECT_EQ(swept.code(), 0) << swept.out << swept.err;
    EXPECT_THAT(swept.out, HasSubstr(left));
    EXPECT_FALSE(fs::exists(left));
    EXPECT_TRUE(fs::is_empty(registry_));
  }

  TempDir directory_;
  std::string base_ = directory_ / "base";
  std::string registry_ = directory_ / "registry";
};

TEST_F(Removal, IsShownOnTheTerminalWhenItTakesLong) {
  REQUIRE_STRACE();
  Terminal terminal(slow_run());
  (void)terminal.expect("\rreapctl: deleting the working directory: ");
  (void)terminal.expect(" files, ");
  EXPECT_EQ(terminal.wait_for_end(), 0);
  // Overwritten, and the cursor back at the beginning.
  EXPECT_THAT(terminal.screen(), testing::EndsWith(" \r"));
  EXPECT_THAT(terminal.screen(), Not(HasSubstr("\n")));
  EXPECT_TRUE(fs::is_empty(base_));
}

TEST_F(Removal, IsNotShownWhileTheJobIsInTheBackground) {
  REQUIRE_STRACE();
  Shell shell(Shell::Kind::bash);
  std::string line = "stty tostop;";
  for (const std::string& word : slow_run()) line += " '" + word + "'";
  shell.enter(line + " & wait $!; echo waited=$?,");
  (void)shell.expect("\nwaited=0,");
  EXPECT_THAT(shell.screen(), Not(HasSubstr("deleting the working directory")));
}

TEST_F(Removal, IsNotShownWhereStderrIsNoTerminal) {
  REQUIRE_STRACE();
  Launch launch = run_of({"--workdir-base", base_}, sh("cd $REAPCTL_WORKDIR && touch $(seq 30)"));
  launch.wrapper = slow("100000");
  const Outcome outcome = run(std::move(launch));
  EXPECT_GT(outcome.report["workdir"]["duration_ms"], 1000);
  EXPECT_EQ(outcome.err, "");
}

TEST_F(Removal, ThatTakesTooLongEndsWithStopTimeoutAndIsLeftToASweep) {
  REQUIRE_STRACE();
  // The command asks for the stop itself once there is something to delete: for longer than a second and a half.
  Launch launch = run_of({"--stop-timeout", "500ms", "--workdir-base", base_},
                         sh("cd $REAPCTL_WORKDIR && touch $(seq 300) && read -r pid comm state guard rest < "
                            "/proc/$PPID/stat && kill -TERM $guard && exec sleep 1000"));
  launch.wrapper = slow("100000");
  launch.env["REAPCTL_REGISTRY"] = registry_;
  launch.leaves_record = true;
  expect_left_to_a_sweep(run(std::move(launch)));
}

/// A file system of its own that can be frozen, fsfreeze(8): who deletes on it sleeps so that not even SIGKILL ends it.
class Disk {
 public:
  explicit Disk(const std::string& place) : mount_(place + "/mount") {
    fs::create_directory(mount_);
    if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
      obstacle_ = std::string("no mount namespace here: ") + std::strerror(errno);
    } else if (const std::string image = place + "/image";
               quiet_status({"sh", "-c",
                             "truncate -s 16M " + image + " && mkfs.ext4 -q " + image + " && mount -o loop " + image +
                                 " " + mount_}) != 0) {
      obstacle_ = "no loop device with an ext4 here";
    }
  }
  ~Disk() {
    thaw();
    if (!obstacle_.empty()) return;
    EXPECT_TRUE(await([this] { return ::umount(mount_.c_str()) == 0; }));
  }
  Disk(const Disk&) = delete;
  Disk& operator=(const Disk&) = delete;

  void thaw() const {
    if (!obstacle_.empty()) return;
    const int fd = ::open(mount_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    (void)::ioctl(fd, FITHAW, 0);  // EINVAL: it was not frozen
    (void)::close(fd);
  }
  [[nodiscard]] const std::string& obstacle() const { return obstacle_; }
  [[nodiscard]] const std::string& mount() const { return mount_; }

 private:
  std::string mount_;
  std::string obstacle_;
};

/// A run that freezes `disk` and is stopped, half a second before it has to be over.
class FrozenRemoval : public Removal {
 protected:
  FrozenRemoval() : disk_(directory_.path()) {}
  void SetUp() override {
    if (!disk_.obstacle().empty()) GTEST_SKIP() << disk_.obstacle();
  }

  [[nodiscard]] Launch frozen(Args options, const std::string& first) const {
    options.insert(options.begin(), {"--stop-timeout", "500ms"});
    Launch launch = run_of(std::move(options), sh(first + " && fsfreeze -f " + disk_.mount() +
                                                  " && read -r pid comm state guard rest < /proc/$PPID/stat && "
                                                  "kill -TERM $guard && exec sleep 1000"));
    launch.env["REAPCTL_REGISTRY"] = registry_;
    launch.leaves_record = true;
    launch.leaves_processes = true;  // the supervisor, which cannot end
    return launch;
  }

  [[nodiscard]] Launch frozen_removal() const {
    return frozen({"--workdir-base", disk_.mount()}, "touch $REAPCTL_WORKDIR/a");
  }

  Outcome sweep() const {
    Launch launch{.args = {"sweep", "--json", "--stop-timeout", "0"}, .leaves_processes = true};
    launch.env["REAPCTL_REGISTRY"] = registry_;
    return run(std::move(launch));
  }

  /// And ends whoever was waiting for that.
  void thaw() const {
    disk_.thaw();
    (void)kill_leftovers({});
  }

  Disk disk_;
};

TEST_F(FrozenRemoval, ThatNotEvenSigkillEndsIsLeftBehindByTheGuard) {
  const Outcome outcome = run(frozen_removal());
  thaw();
  expect_left_to_a_sweep(outcome);
}

/// Whether anybody holds the lock of a run, fcntl(2).
bool is_locked(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  struct flock lock {};
  lock.l_type = F_WRLCK;
  EXPECT_EQ(::fcntl(fd, F_OFD_GETLK, &lock), 0) << path;
  (void)::close(fd);
  return lock.l_type != F_UNLCK;
}

TEST_F(FrozenRemoval, KeepsNobodyWaitingForWhatReapctlHeld) {
  int errors[2];
  ASSERT_EQ(::pipe2(errors, O_CLOEXEC), 0);
  Launch launch = frozen_removal();
  launch.stderr_fd = errors[1];
  Reapctl reapctl(std::move(launch));
  (void)::close(errors[1]);
  const Outcome outcome = reapctl.wait();
  pollfd end{.fd = errors[0], .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&end, 1, static_cast<int>(std::chrono::milliseconds(kPatience).count())), 1);
  EXPECT_EQ(end.revents, POLLHUP);
  (void)::close(errors[0]);
  const std::string lock = registry_ + "/" + outcome.report["run_id"].get<std::string>() + "/lock";
  EXPECT_TRUE(await([&] { return !is_locked(lock); }));
  thaw();
  expect_left_to_a_sweep(outcome);
}

TEST_F(FrozenRemoval, OfAPathIsLeftBehindAsWell) {
  const std::string path = disk_.mount() + "/stale";
  const Outcome outcome = run(frozen({"--no-workdir", "--remove", path}, "touch " + path));
  EXPECT_EQ(outcome.report["result"], "stopped");
  EXPECT_EQ(outcome.report["stop"]["timeout_hit"], true);
  EXPECT_THAT(outcome.report["warnings"].dump(),
              HasSubstr("the paths of --remove could not be deleted before --stop-timeout ended the run"));
  EXPECT_FALSE(fs::is_empty(registry_));
  thaw();
  EXPECT_EQ(sweep().code(), 0);
  EXPECT_FALSE(fs::exists(path));
  EXPECT_TRUE(fs::is_empty(registry_));
}

TEST_F(FrozenRemoval, IsLeftBehindByASweep) {
  const Outcome outcome = run(frozen_removal());
  const Outcome swept = sweep();
  EXPECT_EQ(swept.code(), 4);
  EXPECT_THAT(swept.out, HasSubstr("took too long to delete"));
  EXPECT_THAT(swept.out, HasSubstr("\"survivors\":[]")) << "a supervisor that has done its work is none";
  thaw();
  expect_left_to_a_sweep(outcome);
}

TEST_F(Removal, TheDirectoryIsLockedAgainstAgeingUntilItGoes) {
  Roster roster;
  Gate gate;
  Reapctl reapctl(
      run_of({"--workdir-base", base_}, misbehave(roster, {"ready=main", "await=" + gate.path(), "exit=0"})));
  (void)roster.next();
  const std::string path = fs::directory_iterator(base_)->path();
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  EXPECT_EQ(::flock(fd, LOCK_EX | LOCK_NB), -1);
  EXPECT_EQ(errno, EWOULDBLOCK);
  (void)::close(fd);
  gate.open();
  EXPECT_EQ(reapctl.wait().code(), 0);
}

}  // namespace
}  // namespace reapctl::test
