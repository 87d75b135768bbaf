#pragma once

#include "support/environment.hpp"

#include <csignal>
#include <fcntl.h>
#include <pty.h>
#include <string>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <thread>
#include <unistd.h>

#include <gtest/gtest.h>

/// For the tests that kill at a certain system call.
namespace reapctl::test {

enum class Victim { guard, supervisor, both };

inline void* number(long value) {
  return reinterpret_cast<void*>(value);
}

/// A run, one of whose two processes goes from one border of a system call to the next.
class Steps {
 public:
  Steps(pid_t guard, Victim victim) : guard_(guard), victim_(victim) {}

  /// Counts only from the first call of this number on.
  void count_from(long call) { first_call_ = call; }

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
      if (pid == supervisor_) follow_no_children(pid);
      const int signal = WSTOPSIG(status);
      const bool border = signal == (SIGTRAP | 0x80);
      if (border && pid == traced() && counts(pid) && ++seen_ >= count) {
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

  bool counts(pid_t pid) {
    __ptrace_syscall_info call{};
    if (first_call_ >= 0 && ::ptrace(PTRACE_GET_SYSCALL_INFO, pid, number(sizeof call), &call) > 0 &&
        call.op == PTRACE_SYSCALL_INFO_ENTRY && static_cast<long>(call.entry.nr) == first_call_) {
      first_call_ = -1;
    }
    return first_call_ < 0;
  }

  /// What he starts is none of ours, and would stay stopped if he is killed before we hear of it.
  static void follow_no_children(pid_t pid) {
    (void)::ptrace(PTRACE_SETOPTIONS, pid, nullptr, number(PTRACE_O_TRACESYSGOOD));
  }

  void resume_or_detach(pid_t pid) {
    follow_no_children(pid);
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
  long first_call_ = -1;
};

/// Where a report goes, and what has arrived there.
class Place {
 public:
  enum class Kind { file, appended_file, pipe, socket, terminal, appended_terminal };

  Place(Kind kind, const std::string& log) {
    int ends[2] = {-1, -1};
    switch (kind) {
      case Kind::file: ends[1] = ::memfd_create("report", MFD_CLOEXEC); break;
      case Kind::appended_file:
        ends[1] = ::open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
        break;
      case Kind::pipe: EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0); break;
      case Kind::socket: EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0); break;
      case Kind::terminal:
      case Kind::appended_terminal: {
        termios raw{};
        ::cfmakeraw(&raw);
        EXPECT_EQ(::openpty(&ends[0], &ends[1], nullptr, &raw, nullptr), 0);
        for (const int end : ends) (void)::fcntl(end, F_SETFD, FD_CLOEXEC);
        if (kind == Kind::appended_terminal) (void)::fcntl(ends[1], F_SETFL, O_APPEND);
        break;
      }
    }
    writer_ = ends[1];
    if (ends[0] < 0) return;
    reader_ = ends[0];
    reading_ = std::thread([this] {
      char bytes[4096];
      for (ssize_t count = 0; (count = ::read(reader_, bytes, sizeof bytes)) > 0;) {
        text_.append(bytes, static_cast<std::size_t>(count));
      }
    });
  }
  ~Place() {
    close_writer();
    if (reading_.joinable()) reading_.join();
    if (reader_ >= 0) ::close(reader_);
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

  [[nodiscard]] int fd() const { return writer_; }

  /// Everything, once nobody else can write there any more.
  [[nodiscard]] std::string text() {
    if (!reading_.joinable()) return read_file("/proc/self/fd/" + std::to_string(writer_));
    close_writer();
    reading_.join();
    return text_;
  }

 private:
  void close_writer() {
    if (writer_ >= 0) ::close(writer_);
    writer_ = -1;
  }

  int reader_ = -1;
  int writer_ = -1;
  std::thread reading_;
  std::string text_;
};

inline constexpr Place::Kind kPlaces[] = {Place::Kind::file,     Place::Kind::appended_file,
                                          Place::Kind::pipe,     Place::Kind::socket,
                                          Place::Kind::terminal, Place::Kind::appended_terminal};

}  // namespace reapctl::test
