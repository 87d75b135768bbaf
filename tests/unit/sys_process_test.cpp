#include "support/forked.hpp"
#include "support/pipe.hpp"
#include "support/process.hpp"
#include "sys/children.hpp"
#include "sys/descriptors.hpp"
#include "sys/pid_fd.hpp"
#include "sys/signals.hpp"

#include <algorithm>
#include <cerrno>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <gmock/gmock.h>

namespace reapctl::sys {
namespace {

using test::holds_when_forked;
using test::Pipe;
using test::status_of_forked;
using ::testing::Contains;

/// A child that waits until the pipe closes, then exits with `code`. It dies with the test.
pid_t start(Pipe& hold, int code) {
  const pid_t pid = test::must_fork();
  if (pid == 0) {
    hold.writer.reset();
    (void)hold.drain();
    ::_exit(code);
  }
  return pid;
}

pid_t start_dead(int code) {
  const pid_t pid = test::must_fork();
  if (pid == 0) ::_exit(code);
  EXPECT_TRUE(test::await_end(pid));
  return pid;
}

// --- children

TEST(Children, NoneIsNone) {
  EXPECT_FALSE(has_children());
  EXPECT_FALSE(peek_ended_child());
  EXPECT_FALSE(is_child(::getpid()));
  EXPECT_FALSE(is_child(1));
}

TEST(Children, ALivingOneHasNotEnded) {
  Pipe hold;
  const pid_t pid = start(hold, 0);
  EXPECT_TRUE(has_children());
  EXPECT_TRUE(is_child(pid));
  EXPECT_FALSE(peek_ended_child());
  EXPECT_FALSE(peek_ended(pid));
  EXPECT_FALSE(reap(pid));
  EXPECT_FALSE(is_stopped(pid));
  hold.writer.reset();
  wait_and_reap(pid);
  EXPECT_FALSE(has_children());
}

TEST(Children, APeekLeavesTheZombieAndReapingDoesNot) {
  const pid_t pid = start_dead(7);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(peek_ended_child().value().info.si_pid, pid);
    EXPECT_EQ(peek_ended(pid).value().info.si_status, 7);
  }
  EXPECT_TRUE(has_children());
  EXPECT_TRUE(is_child(pid));
  const auto reaped = reap(pid);
  ASSERT_TRUE(reaped);
  EXPECT_EQ(reaped->info.si_code, CLD_EXITED);
  EXPECT_EQ(reaped->info.si_status, 7);
  EXPECT_GT(reaped->usage.ru_maxrss, 0) << "only the raw system call tells";
  EXPECT_FALSE(reap(pid));
  EXPECT_FALSE(has_children());
}

TEST(Children, OneWithAnotherExitSignalIsSeenToo) {  // fact 13
  alignas(16) static char stack[16 * 1024];
  const pid_t pid = ::clone([](void*) { return 3; }, stack + sizeof stack, 0, nullptr);
  ASSERT_GT(pid, 0);
  EXPECT_TRUE(has_children());
  EXPECT_TRUE(test::await_end(pid));
  EXPECT_EQ(peek_ended_child().value().info.si_pid, pid);
  EXPECT_EQ(reap(pid).value().info.si_status, 3);
}

TEST(Children, AStoppedOneIsStoppedUntilContinued) {
  Pipe hold;
  const pid_t pid = start(hold, 0);
  test::send_signal(pid, SIGSTOP);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(pid), &info, WSTOPPED | WNOWAIT), 0);
  EXPECT_TRUE(is_stopped(pid));
  EXPECT_TRUE(is_stopped(pid)) << "asking does not take the news away";
  EXPECT_FALSE(peek_ended_child()) << "stopped is not dead";
  test::send_signal(pid, SIGCONT);
  EXPECT_TRUE(test::await([pid] { return !is_stopped(pid); }));
  hold.writer.reset();
  wait_and_reap(pid);
}

// --- pidfd

TEST(PidFd, BecomesReadableWhenTheProcessEnds) {
  Pipe hold;
  const pid_t pid = start(hold, 0);
  const auto fd = open_pid_fd(pid);
  ASSERT_TRUE(fd);
  EXPECT_EQ(::fcntl(fd->get(), F_GETFD), FD_CLOEXEC);
  pollfd ready{.fd = fd->get(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&ready, 1, 0), 0);
  hold.writer.reset();
  EXPECT_EQ(::poll(&ready, 1, 20'000), 1);
  EXPECT_TRUE(send_signal(fd->get(), SIGKILL)) << "a zombie takes it";
  wait_and_reap(pid);
  EXPECT_EQ(send_signal(fd->get(), SIGKILL).error().code, ESRCH) << "whoever has the pid next does not";
}

TEST(PidFd, FailsForAProcessThatIsGone) {
  const pid_t pid = start_dead(0);
  ASSERT_TRUE(reap(pid));
  const auto fd = open_pid_fd(pid);
  ASSERT_FALSE(fd);
  EXPECT_EQ(fd.error().code, ESRCH);
  EXPECT_EQ(fd.error().subject, std::to_string(pid));
}

// --- signals

sigset_t set_of(int signal) {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, signal);
  return set;
}

TEST(Signals, BlockingTellsWhatTheCallerHad) {
  EXPECT_TRUE(holds_when_forked([] {
    const sigset_t callers = set_of(SIGUSR1);
    (void)::sigprocmask(SIG_SETMASK, &callers, nullptr);
    (void)::signal(SIGCHLD, SIG_DFL);
    const CallerSignals caller = block_signals();
    sigset_t now;
    (void)::sigprocmask(SIG_SETMASK, nullptr, &now);
    return ::sigismember(&caller.mask, SIGUSR1) == 1 && ::sigismember(&caller.mask, SIGTERM) == 0 &&
           !caller.child_ignored && ::sigismember(&now, SIGTERM) == 1 && ::sigismember(&now, SIGRTMAX) == 1 &&
           ::sigismember(&now, SIGCHLD) == 1 && ::sigismember(&now, SIGTSTP) == 1 && ::sigismember(&now, SIGCONT) == 0;
  }));
}

TEST(Signals, AnIgnoredSigchldIsNotedAndReset) {  // fact 3
  EXPECT_TRUE(holds_when_forked([] {
    (void)::signal(SIGCHLD, SIG_IGN);
    const CallerSignals caller = block_signals();
    struct sigaction now {};
    (void)::sigaction(SIGCHLD, nullptr, &now);
    const pid_t pid = test::must_fork();
    if (pid == 0) ::_exit(5);
    siginfo_t info{};
    const bool kept = ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED) == 0 && info.si_status == 5;
    return caller.child_ignored && now.sa_handler == SIG_DFL && kept;
  }));
}

TEST(Signals, ComeAsRecordsOneByOne) {
  EXPECT_TRUE(holds_when_forked([] {
    (void)block_signals();
    const auto fd = open_signal_fd();
    if (!fd || next_signal(fd->get())) return false;
    for (const int signal : {SIGTERM, SIGHUP, SIGTERM}) (void)::kill(::getpid(), signal);
    const auto first = next_signal(fd->get());
    const auto second = next_signal(fd->get());
    return first && second && first->ssi_signo + second->ssi_signo == SIGTERM + SIGHUP &&
           first->ssi_pid == static_cast<unsigned>(::getpid()) && !next_signal(fd->get()) &&
           ::fcntl(fd->get(), F_GETFD) == FD_CLOEXEC;
  }));
}

TEST(Signals, AnOwnLimitIsNobodysMessage) {
  EXPECT_TRUE(holds_when_forked([] {
    (void)block_signals();
    const auto fd = open_signal_fd();
    const int file = ::memfd_create("limited", MFD_CLOEXEC);
    const rlimit limit{.rlim_cur = 2, .rlim_max = 2};
    if (!fd || file < 0 || ::setrlimit(RLIMIT_FSIZE, &limit) != 0) return false;
    const bool refused = ::write(file, "abc", 3) == 2 && ::write(file, "c", 1) < 0 && errno == EFBIG;
    sigset_t pending;
    (void)::sigpending(&pending);
    return refused && ::sigismember(&pending, SIGXFSZ) == 1 && !next_signal(fd->get());
  }));
}

TEST(Signals, ALimitSignalFromSomebodyElseIsOne) {
  EXPECT_TRUE(holds_when_forked([] {
    (void)block_signals();
    const auto fd = open_signal_fd();
    const pid_t child = test::must_fork();
    if (child == 0) ::_exit(::kill(::getppid(), SIGXFSZ));
    (void)::waitpid(child, nullptr, 0);
    std::optional<signalfd_siginfo> heard;
    while (fd && (heard = next_signal(fd->get())) && heard->ssi_signo == SIGCHLD) continue;
    return heard && heard->ssi_signo == SIGXFSZ;
  }));
}

TEST(Signals, DyingOfOneIsSeenByTheParent) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    const int status = status_of_forked([signal] {
      (void)block_signals();
      (void)::signal(signal, SIG_IGN);
      die_of(signal);
      return true;
    });
    EXPECT_TRUE(WIFSIGNALED(status));
    EXPECT_EQ(WTERMSIG(status), signal);
  }
}

TEST(Signals, StoppingOneselfEndsWithACont) {
  const pid_t pid = test::must_fork();
  if (pid == 0) {
    (void)::setpgid(0, 0);  // not orphaned, since its parent is in the same session: there the kernel does stop it
    (void)block_signals();
    stop_self();
    sigset_t now;
    (void)::sigprocmask(SIG_SETMASK, nullptr, &now);
    ::_exit(::sigismember(&now, SIGTSTP) == 1 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, WUNTRACED), pid);
  ASSERT_TRUE(WIFSTOPPED(status));
  EXPECT_EQ(WSTOPSIG(status), SIGTSTP);
  test::send_signal(pid, SIGCONT);
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0) << "blocked again afterwards";
}

TEST(Signals, StoppingOneselfInAnOrphanedGroupReturnsAtOnce) {  // fact 27
  EXPECT_TRUE(holds_when_forked([] {
    (void)::setsid();
    (void)block_signals();
    stop_self();
    return true;
  }));
}

// --- descriptors

TEST(DescriptorsOf, AreListedInOrderAndDuplicatedAboveTwo) {
  const auto copy = duplicate(2);
  ASSERT_TRUE(copy);
  EXPECT_GT(copy->get(), 2);
  EXPECT_EQ(::fcntl(copy->get(), F_GETFD), FD_CLOEXEC);
  EXPECT_TRUE(is_open(copy->get()));
  const auto open = open_descriptors().value();
  EXPECT_TRUE(std::is_sorted(open.begin(), open.end()));
  EXPECT_THAT(open, Contains(2));
  EXPECT_THAT(open, Contains(copy->get()));
  for (const int fd : open) EXPECT_TRUE(is_open(fd)) << "the one for the listing itself is left out";
  const auto failed = duplicate(100'000);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, EBADF);
}

TEST(DescriptorsOf, ClosedStandardOnesAreOccupiedButNotPassedOn) {  // fact 5
  EXPECT_TRUE(holds_when_forked([] {
    (void)::close(0);
    (void)::close(2);
    occupy_standard_descriptors();
    const bool passed_on_as_before = ::fcntl(1, F_GETFD) == 0;
    return ::fcntl(0, F_GETFD) == FD_CLOEXEC && ::fcntl(2, F_GETFD) == FD_CLOEXEC && passed_on_as_before;
  }));
}

/// In a child with descriptors 3 to 12: what is left after release_inherited.
bool leaves(std::vector<int> keep, const std::vector<int>& expected) {
  return holds_when_forked([&] {
    const auto null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 3; fd <= 12; ++fd) {
      if (fd != null) (void)::dup2(null, fd);
    }
    if (!release_inherited(std::move(keep), 12)) return false;
    auto left = open_descriptors();
    if (!left) return false;
    std::erase_if(*left, [](int fd) { return fd <= 2; });
    return *left == expected;
  });
}

TEST(ReleaseInherited, ClosesAllButTheKept) {
  EXPECT_TRUE(leaves({12}, {12}));
  EXPECT_TRUE(leaves({12, 5, 3}, {3, 5, 12}));
  EXPECT_TRUE(leaves({12, 4, 5, 5, -1, 4, -1}, {4, 5, 12}));
  EXPECT_TRUE(leaves({12, 200}, {12})) << "one that is not open does no harm";
}

TEST(ReleaseInherited, LetsGoOfStandardInputAndOutputButNotOfStandardError) {  // fact 28a
  EXPECT_TRUE(holds_when_forked([] {
    Pipe in;
    Pipe out;
    Pipe error;
    (void)::dup2(in.reader.get(), 0);
    (void)::dup2(out.writer.get(), 1);
    (void)::dup2(error.writer.get(), 2);
    in.reader.reset();
    out.writer.reset();
    error.writer.reset();
    const int harmless = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    if (!release_inherited({in.writer.get(), out.reader.get(), error.reader.get(), harmless}, harmless)) return false;
    (void)::signal(SIGPIPE, SIG_IGN);
    const bool reader_gone = ::write(in.writer.get(), "x", 1) < 0 && errno == EPIPE;
    const bool writer_gone = out.drain().empty();
    const bool error_kept = ::write(2, "x", 1) == 1;
    return reader_gone && writer_gone && error_kept && is_open(0) && is_open(1);
  }));
}

TEST(ReleaseInherited, KeepsStandardOnesThatAreNamed) {
  EXPECT_TRUE(holds_when_forked([] {
    Pipe out;
    (void)::dup2(out.writer.get(), 1);
    out.writer.reset();
    const int harmless = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    if (!release_inherited({1, out.reader.get(), harmless}, harmless)) return false;
    char byte = 0;
    return ::write(1, "x", 1) == 1 && ::read(out.reader.get(), &byte, 1) == 1 && byte == 'x';
  }));
}

}  // namespace
}  // namespace reapctl::sys
