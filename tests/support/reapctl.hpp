#pragma once

#include "support/environment.hpp"
#include "support/process.hpp"

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <sys/types.h>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

/// Starts the real reapctl and sees what becomes of it.
namespace reapctl::test {

using Args = std::vector<std::string>;

/// How to start it. By default: a session of its own (so no controlling terminal), /dev/null on stdin, stdout and
/// stderr captured in files (nothing can block on them), default signal dispositions and nothing blocked, and, unless
/// `env` or `unset_env` name them, a registry of its own and a PATH without directories that only root may search.
struct Launch {
  Args args = {};            ///< of reapctl, from the name of the command on
  Args wrapper = {};         ///< a program and its options that start reapctl ("strace", …)
  bool with_report = false;  ///< adds `--report FILE` behind `run` and parses what comes
  std::map<std::string, std::string> env = {};
  Args unset_env = {};
  std::string cwd = {};
  int stdin_fd = -1;
  int stdout_fd = -1;
  int stderr_fd = -1;
  std::vector<std::pair<int, int>> fds = {};  ///< {number in reapctl, descriptor of ours}, numbers from 3 on
  std::vector<int> closed = {};               ///< descriptors that reapctl starts without, after everything else
  std::vector<int> ignored = {};              ///< signals
  std::vector<int> blocked = {};              ///< signals
  bool own_session = true;
  bool leaves_processes = false;           ///< the test itself deals with what is left
  bool leaves_record = false;              ///< the run stays on record, as for something that could not be deleted
  std::function<void()> before_exec = {};  ///< last thing in the child; system calls only
};

/// `run OPTIONS -- COMMAND` with a report.
[[nodiscard]] Launch run_of(Args options, Args command);

/// A command for the shell.
[[nodiscard]] Args sh(std::string script);

/// misbehave as the command.
[[nodiscard]] Args misbehave(const Roster& roster, Args steps);
[[nodiscard]] Args misbehave(Args steps);

/// How reapctl ended and what it said.
struct Outcome {
  int wait_status = 0;
  std::chrono::milliseconds elapsed{};  ///< from the start to the end
  std::string out;
  std::string err;
  std::string report_text;
  nlohmann::json report;  ///< null without one
  Args left_behind;       ///< processes that outlived it, each in words; ended by now

  /// As a shell shows it: the exit status, or 128+N.
  [[nodiscard]] int code() const;
  /// The signal that killed reapctl itself, or 0.
  [[nodiscard]] int killed_by() const;
};

/// A reapctl that runs. Whoever drops it without `wait` kills it with all it started.
class Reapctl {
 public:
  explicit Reapctl(Launch launch);
  ~Reapctl();
  Reapctl(Reapctl&&) noexcept;
  Reapctl(const Reapctl&) = delete;
  Reapctl& operator=(const Reapctl&) = delete;
  Reapctl& operator=(Reapctl&&) = delete;

  /// With a wrapper that forks (strace), the wrapper's.
  [[nodiscard]] pid_t pid() const;

  void send(int signal) const;

  /// What it has written to stderr so far.
  [[nodiscard]] std::string err_so_far() const;

  /// Waits for the end. Fails the test when patience runs out, when a process or a record is left behind or when the
  /// report is not JSON; in all cases nothing is left afterwards.
  Outcome wait(std::chrono::milliseconds patience = kPatience);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The reapctl processes above a command: the one that is its parent, and the one that the caller knows and signals
/// (the guard; the same without one).
[[nodiscard]] pid_t supervisor_of(const Process& main);
[[nodiscard]] pid_t front_of(const Process& main);

/// Whether it has come so far that it hears signals: nothing but its descriptors tells from outside.
[[nodiscard]] bool listens(pid_t reapctl);

/// Starts and waits.
Outcome run(Launch launch);

/// Kills and reaps everything below this process that is not in `keep`; says what there was, zombies included.
/// Works because starting a Reapctl makes this process a subreaper: what escapes comes to us.
Args kill_leftovers(const std::vector<pid_t>& keep);

}  // namespace reapctl::test
