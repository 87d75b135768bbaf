#pragma once

#include "core/plan.hpp"
#include "core/time.hpp"
#include "engine/shared_page.hpp"
#include "sys/result.hpp"
#include "sys/unique_fd.hpp"

#include <functional>
#include <optional>
#include <string>
#include <sys/signalfd.h>
#include <sys/types.h>
#include <vector>

/// The guard: the process that the caller knows and signals. Its child, the supervisor, does the work; each sees the
/// other's death and then cleans up alone.
namespace reapctl::engine {

/// What guard and supervisor say to each other, one message a record.
struct GuardMessage {
  enum class Kind : int {
    signal,       ///< guard: this signal was sent to me
    resumed,      ///< guard: I have been continued after `stop`, or nothing stopped me
    started,      ///< supervisor: the command was started, hear all signals again
    stop,         ///< supervisor: the command has stopped, stop as well, the shell is waiting for it
    hurry,        ///< supervisor: the shared page says now by when I have to end
    output_gone,  ///< supervisor: nobody reads the output any more, let go of the pipe
    leave,        ///< supervisor: all is done, but a thread of mine may hang in the kernel
  };
  Kind kind = Kind::signal;
  signalfd_siginfo signal{};
};

/// The supervisor's side.
class GuardLink {
 public:
  GuardLink(pid_t pid, sys::UniqueFd pid_fd, sys::UniqueFd socket)
      : pid_(pid), pid_fd_(std::move(pid_fd)), socket_(std::move(socket)) {}

  [[nodiscard]] int pid_fd() const { return pid_fd_.get(); }  ///< readable once the guard has ended
  [[nodiscard]] int socket() const { return socket_.get(); }
  [[nodiscard]] std::optional<GuardMessage> receive() const;
  /// The command was started, or could not be: nothing more is kept back for it.
  void tell_of_start(SharedPage& page) const;
  void ask_to_stop() const;
  void tell_of_deadline() const;
  void tell_output_gone() const;
  /// The guard need not wait until this process has ended.
  void take_leave() const;
  /// A guard that the command has stopped could not pass on the exit status.
  void wake() const;
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_;
  sys::UniqueFd pid_fd_;
  sys::UniqueFd socket_;
};

/// How the guard's watch ended. A supervisor that cannot even be killed counts as dead: it does nothing any more.
enum class WatchEnd { supervisor_done, supervisor_died };

/// What the guard does for the run, and must know to see that the supervisor hangs (held by a debugger, in
/// uninterruptible sleep).
struct GuardOrders {
  bool on_terminal = false;                  ///< whose keys the command takes over from us when it starts
  std::optional<core::Millis> stop_timeout;  ///< without it a stop may take as long as it likes
  std::function<bool(const signalfd_siginfo&)> asks_to_stop{};   ///< whether that signal starts the ladder
  std::function<bool(const signalfd_siginfo&)> pass_straight{};  ///< false if it is for the supervisor
  std::function<void()> let_go{};       ///< called when the supervisor is done: lets go of what that has removed
  std::function<void()> output_gone{};  ///< called when the supervisor says so
};

/// The guard's side.
class Guard {
 public:
  Guard(pid_t supervisor, sys::UniqueFd pid_fd, sys::UniqueFd socket)
      : supervisor_(supervisor), pid_fd_(std::move(pid_fd)), socket_(std::move(socket)) {}

  /// Passes signals on until the supervisor has ended, and reaps it, unless it is done but for a thread that hangs. One
  /// that is still there when --stop-timeout is over is given another second and then killed; if even that does not end
  /// it within a second, it is left to itself. Lets go of all descriptors but `keep`, its own, and stderr.
  [[nodiscard]] sys::Result<WatchEnd> watch(SharedPage& page, std::vector<int> keep, const GuardOrders& orders);

 private:
  enum class Patience { in_time, a_little_more, ending, over };

  void leave_keys(SharedPage& page, int signal_fd) const;
  void on_signal(const signalfd_siginfo& info, SharedPage& page, const GuardOrders& orders);
  void pass_on(const signalfd_siginfo& info) const;
  [[nodiscard]] std::optional<GuardMessage::Kind> on_message(const GuardOrders& orders) const;
  [[nodiscard]] std::optional<core::TimePoint> next_check(const SharedPage& page) const;
  void check(const SharedPage& page);

  pid_t supervisor_;
  sys::UniqueFd pid_fd_;
  sys::UniqueFd socket_;
  Patience patience_ = Patience::in_time;
  std::optional<core::TimePoint> asked_until_;  ///< a stop was passed on, and should be over by then
  core::TimePoint next_step_;                   ///< of `patience_`, behind `in_time`
};

/// The two processes after the fork: in each, its own side.
struct GuardedFork {
  std::optional<Guard> guard;
  std::optional<GuardLink> link;
};

/// Forks the supervisor off, into a process group of its own: killpg by a parent never takes both. Errors: EAGAIN, …
[[nodiscard]] sys::Result<GuardedFork> fork_supervisor();

}  // namespace reapctl::engine
