#pragma once

#include "support/environment.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

/// Processes as a test sees them, with code of its own: what is tested does not check itself.
namespace reapctl::test {

/// One process for as long as this boot lasts, and what a test calls it.
struct Process {
  pid_t pid = 0;
  std::uint64_t start_ticks = 0;
  std::string role;
};

/// Some fields of /proc/PID/stat, proc(5).
struct ProcStat {
  std::string comm;
  char state = '?';
  pid_t ppid = 0;
  pid_t pgid = 0;
  pid_t sid = 0;
  pid_t foreground_pgid = 0;
  int threads = 0;
  std::uint64_t start_ticks = 0;
};

[[nodiscard]] std::optional<ProcStat> read_stat(pid_t pid);

/// The process as it is now; nullopt when there is none.
[[nodiscard]] std::optional<Process> identify(pid_t pid);

/// True while that very process runs. A zombie is dead, unless other threads of it run.
[[nodiscard]] bool is_alive(const Process& process);

/// Children of all threads of a process, zombies included.
[[nodiscard]] std::vector<pid_t> children_of(pid_t pid);

/// A line of /proc/PID/status, such as SigIgn, as a bit mask: bit N-1 for signal N.
[[nodiscard]] std::uint64_t signal_mask(const std::string& status, const std::string& field);

/// kill(2) to one process: a failure of the test, and no signal, for 0, -1 and 1.
void send_signal(pid_t pid, int signal);

/// "PID (comm) state ppid pgid sid wchan: command line", for messages.
[[nodiscard]] std::string describe(pid_t pid);

/// A line for each process below `root`, for messages.
[[nodiscard]] std::string describe_tree(pid_t root);

/// Waits with a pidfd until the process (a child or not) has ended. False when patience ran out.
[[nodiscard]] bool await_end(pid_t pid, std::chrono::milliseconds patience = kPatience);

/// Looks every few milliseconds until the condition holds: for states of which nobody sends word (T in /proc).
[[nodiscard]] bool await(const std::function<bool()>& condition, std::chrono::milliseconds patience = kPatience);

/// The reading end of misbehave's --ready: who is there, and what happened to them.
class Roster {
 public:
  Roster();
  ~Roster();
  Roster(const Roster&) = delete;
  Roster& operator=(const Roster&) = delete;

  [[nodiscard]] std::string path() const;

  /// The next line, in the order of writing. Fails the test and returns a Process with pid 0 when patience ran out.
  Process next(std::chrono::milliseconds patience = kPatience);

  /// Reads until each of the roles has been seen (again: each call asks for lines not yet given). Fails the test else.
  std::map<std::string, Process> await_roles(std::vector<std::string> roles);

  /// What is there now, without waiting.
  std::vector<Process> take_all();

 private:
  std::optional<Process> read_line(std::chrono::milliseconds patience);

  TempDir directory_;
  int fd_ = -1;
  std::string buffer_;
};

/// A FIFO on which misbehave's await= waits.
class Gate {
 public:
  Gate();
  ~Gate();
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  [[nodiscard]] std::string path() const;
  /// Lets so many processes pass, now or when they come.
  void open(std::size_t count = 1);

 private:
  TempDir directory_;
  int fd_ = -1;
};

}  // namespace reapctl::test
