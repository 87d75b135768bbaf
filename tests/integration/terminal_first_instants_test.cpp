#include "support/environment.hpp"
#include "support/process.hpp"
#include "support/reapctl.hpp"
#include "support/terminal.hpp"
#include "support/tool.hpp"

#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <memory>
#include <string>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

/// A key that is pressed, or a terminal that is closed, in the first instants of a run: at each border of a system call
/// of either reapctl process from its birth until it waits, and of the command until its exec. By default at every
/// seventh, another one in each process that tests; REAPCTL_TEST_EVERY=1 does them all.
namespace reapctl::test {
namespace {

void* number(long value) {
  return reinterpret_cast<void*>(value);
}

/// Whose borders are counted: those of a command without reapctl, of reapctl without a guard, of the guard, ….
enum class Whom { plain, alone, front, supervisor, command };

/// Goes from one border of a system call of a job to the next, and lets everybody else go.
class Follower {
 public:
  /// Takes the job on while it is still the shell script that is to become what is looked at.
  Follower(pid_t job, Whom whom) : whom_(whom), at_(job) {
    constexpr long kOptions =
        PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE;
    EXPECT_EQ(::ptrace(PTRACE_SEIZE, job, nullptr, number(kOptions)), 0);
  }

  /// Stops at the border `count`; false if it was let go because there are less.
  bool stop_at(int count) {
    int status = 0;
    bool began = false;
    while (::waitpid(at_, &status, __WALL) == at_ && WIFSTOPPED(status)) {
      const int event = status >> 16;
      int signal = WSTOPSIG(status);
      if (signal == (SIGTRAP | 0x80)) {
        if (counting_ && ++seen_ == count) return true;
        if (counting_ && waits()) break;
      } else if (event == PTRACE_EVENT_EXEC) {
        if (counting_ || began) break;
        began = read_stat(at_).value_or(ProcStat{}).comm == (whom_ == Whom::plain ? "misbehave" : "reapctl");
        counting_ = began && whom_ <= Whom::front;
      } else if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK) {
        on_birth();
      }
      if (signal == (SIGTRAP | 0x80) || event != 0) signal = 0;
      (void)::ptrace(began ? PTRACE_SYSCALL : PTRACE_CONT, at_, nullptr, number(signal));
    }
    let_go();
    return false;
  }

  void let_go() const { (void)::ptrace(PTRACE_DETACH, at_, nullptr, nullptr); }

 private:
  /// From here on it waits for what others do.
  [[nodiscard]] bool waits() const {
    __ptrace_syscall_info call{};
    if (::ptrace(PTRACE_GET_SYSCALL_INFO, at_, number(sizeof call), &call) <= 0) return true;
    if (call.op != PTRACE_SYSCALL_INFO_ENTRY) return false;
    const auto entered = static_cast<long>(call.entry.nr);
#if defined(SYS_pause)
    if (entered == SYS_pause || entered == SYS_epoll_wait) return true;
#endif
    if (entered == SYS_ppoll) return whom_ == Whom::plain || whom_ == Whom::command;  // else it is for the exec
    return entered == SYS_epoll_pwait || entered == SYS_epoll_pwait2;
  }

  /// The first is that of the supervisor, and his that of the command.
  void on_birth() {
    unsigned long message = 0;
    (void)::ptrace(PTRACE_GETEVENTMSG, at_, nullptr, &message);
    const auto child = static_cast<pid_t>(message);
    const bool enter = whom_ > Whom::front && !counting_;
    if (enter) {
      let_go();
      at_ = child;
      counting_ = whom_ == Whom::supervisor || ++entered_ == 2;
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, __WALL), child);
    if (!enter) (void)::ptrace(PTRACE_DETACH, child, nullptr, nullptr);
  }

  Whom whom_;
  pid_t at_;
  bool counting_ = false;
  int entered_ = 0;
  int seen_ = 0;
};

enum class Event { stop, interrupt, quit, hang_up };

using Row = std::tuple<Shell::Kind, Whom, Event>;

class FirstInstants : public testing::TestWithParam<Row> {
 protected:
  void SetUp() override {
    const std::string program = kind() == Shell::Kind::bash ? "bash" : "dash";
    if (quiet_status({program, "-c", "exit 0"}) != 0) GTEST_SKIP() << program << " is not installed";
    ASSERT_EQ(::mkfifo((directory_ / "gate").c_str(), 0600), 0);
    gate_ = ::open((directory_ / "gate").c_str(), O_RDWR | O_CLOEXEC);
    ASSERT_GE(gate_, 0);
    const std::string wrapper = whom() == Whom::plain ? ""
                                                      : reapctl_path() + " run --report none " +
                                                            (whom() == Whom::alone ? "--no-guard -- " : "-- ");
    write_script(directory_ / "job", "#!/bin/sh\nulimit -c 0\nread _ < '" + std::string(directory_ / "gate") +
                                         "'\nexec " + wrapper + misbehave_path() + " --ready " + roster_.path() +
                                         " on=USR1:exit=7 ready=main\n");
  }

  ~FirstInstants() override {
    if (gate_ >= 0) ::close(gate_);
  }

  static Shell::Kind kind() { return std::get<0>(GetParam()); }
  static Whom whom() { return std::get<1>(GetParam()); }
  static Event event() { return std::get<2>(GetParam()); }

  /// One run, with the event at the border `count`; false if there was no such border.
  bool cycle(Shell& shell, int count) {
    shell.enter(directory_ / "job");
    EXPECT_TRUE(await([&] { return shell.foreground() != shell.pid(); }));
    const pid_t front = shell.foreground();
    Follower follower(front, whom());
    EXPECT_EQ(::write(gate_, "\n", 1), 1);
    const bool there = follower.stop_at(count);
    if (there) {
      // Who is followed stands still. The guard, who does not, shall be in the middle of its loop, before and after.
      const bool guard_is_free = whom() > Whom::front;
      EXPECT_TRUE(!guard_is_free || await([&] { return listens(front) && is_asleep(front); }));
      happen(shell);
      EXPECT_TRUE(!guard_is_free || event() == Event::hang_up || await([&] { return is_asleep(front); }));
      follower.let_go();
      check(shell, front);
    } else {
      send_signal(roster_.next().pid, SIGUSR1);
      shell.prompt();
    }
    return there && !HasFailure();
  }

  static bool is_asleep(pid_t pid) { return read_stat(pid).value_or(ProcStat{}).state == 'S'; }

  /// The terminal shows a key when it has sent the signal.
  static void happen(Shell& shell) {
    switch (event()) {
      case Event::stop:
        shell.type("\x1a");
        (void)shell.expect("^Z");
        break;
      case Event::interrupt:
        shell.type("\x03");
        (void)shell.expect("^C");
        break;
      case Event::quit:
        shell.type("\x1c");
        (void)shell.expect("^\\");
        break;
      case Event::hang_up: shell.hang_up(); break;
    }
  }

  void check(Shell& shell, pid_t front) {
    switch (event()) {
      case Event::stop: {
        (void)shell.expect("Stopped");
        shell.prompt();
        EXPECT_EQ(read_stat(front).value_or(ProcStat{}).state, 'T');
        for (const pid_t supervisor : children_of(front)) {
          for (const pid_t command : children_of(supervisor)) {
            EXPECT_EQ(read_stat(command).value_or(ProcStat{}).state, 'T') << describe(command);
          }
        }
        shell.enter("fg");
        const Process main = roster_.next();
        if (main.pid != 0) send_signal(main.pid, SIGUSR1);
        shell.prompt();
        EXPECT_EQ(shell.status(), 7);
        break;
      }
      case Event::interrupt:
      case Event::quit:
        shell.prompt();
        EXPECT_EQ(shell.status(), 128 + (event() == Event::quit ? SIGQUIT : SIGINT));
        (void)roster_.take_all();
        break;
      case Event::hang_up: break;  // the end of the terminal looks who is left
    }
  }

  TempDir directory_;
  int gate_ = -1;
  Roster roster_;
};

TEST_P(FirstInstants, LoseNoKeyAndNoHangUp) {
  const char* wanted = std::getenv("REAPCTL_TEST_EVERY");
  const int every = wanted != nullptr ? std::atoi(wanted) : 7;
  auto shell = std::make_unique<Shell>(kind());
  int count = 1 + ::getpid() % every;
  int cycles = 0;
  for (;; count += every, ++cycles) {
    SCOPED_TRACE("border " + std::to_string(count));
    if (!cycle(*shell, count)) break;
    if (event() != Event::hang_up) continue;
    shell.reset();
    (void)roster_.take_all();
    shell = std::make_unique<Shell>(kind());
  }
  EXPECT_GT(cycles, 0);
  std::printf("%d times at the borders of %d system calls\n", cycles, count / 2);
}

std::string name_of(const testing::TestParamInfo<Row>& row) {
  const auto& [kind, whom, event] = row.param;
  return std::string(kind == Shell::Kind::bash ? "bash" : "dash") +
         (whom == Whom::plain        ? "_plain"
          : whom == Whom::alone      ? "_alone"
          : whom == Whom::front      ? "_front"
          : whom == Whom::supervisor ? "_supervisor"
                                     : "_command") +
         (event == Event::stop        ? "_stop"
          : event == Event::interrupt ? "_interrupt"
          : event == Event::quit      ? "_quit"
                                      : "_hang_up");
}

INSTANTIATE_TEST_SUITE_P(Terminal, FirstInstants,
                         testing::Combine(testing::Values(Shell::Kind::bash, Shell::Kind::dash),
                                          testing::Values(Whom::plain, Whom::alone, Whom::front, Whom::supervisor,
                                                          Whom::command),
                                          testing::Values(Event::stop, Event::interrupt, Event::quit, Event::hang_up)),
                         name_of);

}  // namespace
}  // namespace reapctl::test
