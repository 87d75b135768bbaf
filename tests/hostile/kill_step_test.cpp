#include "support/environment.hpp"
#include "support/json_sink.hpp"
#include "support/process.hpp"
#include "support/reapctl.hpp"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

/// SIGKILL to the guard, the supervisor or both at each system call of a run, in front of it and behind it: what the
/// random instants of kill_soak_test.cpp may miss. By default at every eleventh, another one in each place of the
/// build; REAPCTL_TEST_EVERY=1 does them all.
namespace reapctl::test {
namespace {

namespace fs = std::filesystem;

enum class Victim { guard, supervisor, both };

void* number(long value) {
  return reinterpret_cast<void*>(value);
}

/// A run, one of whose two processes goes from one border of a system call to the next.
class Steps {
 public:
  Steps(pid_t guard, Victim victim) : guard_(guard), victim_(victim) {}

  /// Goes `count` borders far and kills there; false if the process was over before.
  bool kill_at(int count) {
    int status = 0;
    if (::waitpid(guard_, &status, __WALL) != guard_ || !WIFSTOPPED(status)) return false;
    (void)::ptrace(PTRACE_SETOPTIONS, guard_, nullptr,
                   number(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE));
    (void)::ptrace(PTRACE_SYSCALL, guard_, nullptr, nullptr);
    for (;;) {
      const pid_t pid = ::waitpid(-1, &status, __WALL);
      if (pid < 0) return false;
      if (!WIFSTOPPED(status)) {
        if (pid == traced()) return false;
        continue;
      }
      if (pid == guard_ && status >> 16 == PTRACE_EVENT_FORK) {
        unsigned long child = 0;
        (void)::ptrace(PTRACE_GETEVENTMSG, guard_, nullptr, &child);
        supervisor_ = static_cast<pid_t>(child);
        if (early_ == supervisor_) resume_or_detach(supervisor_);
      }
      // Of interest is he who is to be killed, and until he forks, the guard.
      const bool followed = pid == traced() || (pid == guard_ && supervisor_ < 0);
      if (!followed && supervisor_ < 0) {
        early_ = pid;  // stopped before his parent could say that he is there
        continue;
      }
      if (!followed) {
        (void)::ptrace(PTRACE_DETACH, pid, nullptr, nullptr);
        supervisor_left_ = supervisor_left_ || pid == supervisor_;
        continue;
      }
      const int signal = WSTOPSIG(status);
      const bool border = signal == (SIGTRAP | 0x80);
      if (border && pid == traced() && ++seen_ >= count) {
        strike();
        return true;
      }
      const bool news = border || signal == SIGTRAP || signal == SIGSTOP;
      (void)::ptrace(PTRACE_SYSCALL, pid, nullptr, number(news ? 0 : signal));
    }
  }

  [[nodiscard]] bool had_supervisor() const { return supervisor_ > 0; }

 private:
  [[nodiscard]] pid_t traced() const { return victim_ == Victim::guard ? guard_ : supervisor_; }

  void resume_or_detach(pid_t pid) {
    supervisor_left_ = pid != traced();
    (void)::ptrace(pid == traced() ? PTRACE_SYSCALL : PTRACE_DETACH, pid, nullptr, nullptr);
  }

  /// Both at one instant: a process that is being traced has not been reaped by the other.
  void strike() const {
    if (victim_ == Victim::guard && supervisor_ > 0 && !supervisor_left_) {
      int status = 0;
      (void)::waitpid(supervisor_, &status, __WALL);
      (void)::ptrace(PTRACE_DETACH, supervisor_, nullptr, nullptr);
    }
    if (victim_ == Victim::both) {
      (void)::kill(guard_, SIGSTOP);
      (void)::kill(guard_, SIGKILL);
    }
    (void)::kill(traced(), SIGKILL);
  }

  pid_t guard_;
  pid_t supervisor_ = -1;
  pid_t early_ = -1;
  bool supervisor_left_ = false;  ///< to himself
  Victim victim_;
  int seen_ = 0;
};

class KillStep : public testing::TestWithParam<Victim> {
 protected:
  KillStep() { fs::create_directory(base_); }
  ~KillStep() override { (void)kill_leftovers({}); }

  /// False when the run was over before.
  bool cycle(int count) {
    const int report = ::memfd_create("report", MFD_CLOEXEC);
    Launch launch{.args = {"run", "--report", "fd:3", "--workdir-base", base_, "--ladder", "INT/TERM:100ms,KILL", "--",
                           misbehave_path(), "fork", "[", "setsid", "]", "exit=0"},
                  .env = {{"REAPCTL_REGISTRY", registry_}},
                  .fds = {{3, report}},
                  .leaves_processes = true};
    launch.before_exec = [] { (void)::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr); };
    Reapctl run(std::move(launch));
    Steps steps(run.pid(), GetParam());
    const bool struck = steps.kill_at(count);
    const bool one_left = GetParam() != Victim::both && steps.had_supervisor();
    if (struck && one_left) {
      EXPECT_TRUE(await([] { return nobody_left(); })) << describe_tree(::getpid());
    }
    if (struck && !one_left) sweep();
    EXPECT_TRUE(await([] { return nobody_left(); })) << describe_tree(::getpid());
    EXPECT_TRUE(fs::is_empty(base_));
    EXPECT_TRUE(!fs::exists(registry_) || fs::is_empty(registry_));
    const std::string text = read_file("/proc/self/fd/" + std::to_string(report));
    ::close(report);
    const auto lines = std::count(text.begin(), text.end(), '\n');
    if (one_left) {
      // Between the write(2) of a report into a stream and the note that it is written lies one border: who dies there
      // has reported, and nobody can know. Better twice than never, but it must be the same one, and no other border.
      if (lines == 2 && text.substr(0, text.size() / 2) == text.substr(text.size() / 2)) {
        ++told_twice_;
      } else {
        EXPECT_EQ(lines, 1) << text;
      }
      keep_json("report", text.substr(0, text.find('\n')));
    } else {
      EXPECT_LE(lines, 1) << text;
    }
    return struck;
  }

  void sweep() const {
    // Who was killed may still be dying, and is alive.
    EXPECT_TRUE(await([] { return only_victims_of_sweep(); }));
    EXPECT_EQ(
        run({.args = {"sweep", "--ladder", "KILL"}, .env = {{"REAPCTL_REGISTRY", registry_}}, .leaves_processes = true})
            .code(),
        0);
    EXPECT_TRUE(await([] { return nobody_left(); })) << describe_tree(::getpid());
  }

  /// No reapctl is left among our children.
  static bool only_victims_of_sweep() {
    while (::waitpid(-1, nullptr, WNOHANG | __WALL) > 0) continue;
    const auto children = children_of(::getpid());
    return std::none_of(children.begin(), children.end(), [](pid_t pid) {
      const auto stat = read_stat(pid);  // a zombie holds no lock any more
      return stat && stat->comm == "reapctl" && stat->state != 'Z';
    });
  }

  static bool nobody_left() {
    while (::waitpid(-1, nullptr, WNOHANG | __WALL) > 0) continue;
    return children_of(::getpid()).empty();
  }

  int told_twice_ = 0;
  TempDir directory_;
  std::string base_ = directory_ / "base";
  std::string registry_ = directory_ / "registry";
};

INSTANTIATE_TEST_SUITE_P(EverySystemCall, KillStep, testing::Values(Victim::guard, Victim::supervisor, Victim::both),
                         [](const auto& victim) {
                           return victim.param == Victim::guard        ? "guard"
                                  : victim.param == Victim::supervisor ? "supervisor"
                                                                       : "both";
                         });

TEST_P(KillStep, LeavesNothing) {
  const char* wanted = std::getenv("REAPCTL_TEST_EVERY");
  const int every = wanted != nullptr ? std::max(std::atoi(wanted), 1) : 11;
  int count = 1 + ::getpid() % every;
  int cycles = 0;
  for (; !HasFailure(); count += every) {
    SCOPED_TRACE("border " + std::to_string(count));
    if (!cycle(count)) break;
    ++cycles;
  }
  EXPECT_GT(cycles, 0);
  EXPECT_LE(told_twice_, 1);
  std::printf("%d kills at the borders of %d system calls\n", cycles, count / 2);
}

}  // namespace
}  // namespace reapctl::test
