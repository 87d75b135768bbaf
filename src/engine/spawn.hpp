#pragma once

#include "core/environment.hpp"
#include "core/record.hpp"
#include "engine/registration.hpp"
#include "sys/signals.hpp"
#include "sys/unique_fd.hpp"

#include <atomic>
#include <csignal>
#include <functional>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace reapctl::engine {

/// What a terminal sends to its foreground: ^C, ^\\, ^Z, and that it was closed.
inline constexpr int kKeySignals[] = {SIGHUP, SIGINT, SIGQUIT, SIGTSTP};

/// On a terminal: the process that gets its keys while the command is not there yet, and has all of `kKeySignals`
/// blocked. Once the new process is in the group of the terminal, it takes over what is pending there.
struct KeyListener {
  pid_t pid = 0;                            ///< 0: there is no terminal, or no /proc
  std::atomic<bool>* taken_over = nullptr;  ///< set after that; until then `pid` must leave them pending
};

/// Everything the child needs between its birth and its exec.
struct SpawnRequest {
  std::vector<std::string> argv;
  core::Environment environment;
  sys::CallerSignals caller_signals;      ///< the command gets the mask and the SIGCHLD disposition the caller had
  std::optional<pid_t> group;             ///< the process group to enter, 0 for a new one; nullopt: the current one
  std::atomic<pid_t>* pid_out = nullptr;  ///< where the child writes its pid before anything else can happen to it
  int cgroup_fd = -1;                     ///< the cgroup to be born in; -1: the current one
  bool no_new_privs = false;
  int stdout_fd = -1;          ///< becomes the command's standard output; -1: the current one
  int stderr_fd = -1;          ///< likewise
  int directory_fd = -1;       ///< the command's working directory; -1: the current one
  std::vector<int> close_fds;  ///< closed before the exec
  KeyListener keys;
  MainNote note;  ///< where the new process puts itself on record before the exec
  /// Whether the command is not wanted any more, asked while its exec takes long. Meanwhile the child uses our memory,
  /// so no call in there may fail or allocate.
  std::function<bool()> in_vain = {};
};

struct Spawned {
  pid_t pid = -1;  ///< -1: there is no process, the stage says why
  sys::UniqueFd pid_fd;
  std::optional<core::MainOnRecord> on_record;  ///< what it wrote down of itself; nullopt if it could not
  std::string executable;                       ///< the file that was executed
  std::string failed_stage;  ///< empty: the command runs; else "cgroup", "fork", "chdir", "no-new-privs" or "exec"
  int failed_errno = 0;
  bool given_up = false;  ///< its exec took too long: it has been killed, and its end is to be seen
};

/// Starts a command. Returns when its exec has succeeded; when it has failed, and then the process is reaped (a command
/// that exits 127 is not mistaken for one that could not be executed); or when it is `in_vain`, and then the process is
/// killed. In a group that a terminal may know, ^Z before the exec stops the command after it, and with `keys` no key
/// is lost that was pressed before. Finds the file as execvp(3) does, /bin/sh for a script without `#!` included.
[[nodiscard]] Spawned spawn(const SpawnRequest& request);

}  // namespace reapctl::engine
