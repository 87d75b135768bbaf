#pragma once

#include "core/report.hpp"
#include "core/time.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <sys/types.h>
#include <variant>
#include <vector>

/// What happens during a run, as it happens: for --events and --verbose.
namespace reapctl::core {

/// What reapctl made of a signal that it received.
enum class SignalAction {
  forwarded,
  stop,       ///< the first stop signal: the ladder begins
  next_rung,  ///< the second one
  kill,       ///< the third one
  ignored,    ///< dropped by --map, or a typed one that has reached the command already
};

/// The main command runs.
struct StartedEvent {
  pid_t pid = 0;
  std::vector<std::string> argv;  ///< unredacted
};

struct SignalEvent {
  int signal = 0;
  std::optional<pid_t> sender_pid;  ///< nullopt when the kernel sent it
  SignalAction action = SignalAction::forwarded;
};

/// A rung of the ladder was sent.
struct RungEvent {
  std::string signal_name;  ///< "INT/TERM", "KILL"
  int told = 0;             ///< processes signalled
};

/// A descendant lost its parent and became a child of reapctl, which noticed it now: nobody sends word of that.
struct AdoptedEvent {
  pid_t pid = 0;
  std::string comm;
};

/// A process ended and was reaped; exactly one of code and signal is there.
struct ExitedEvent {
  pid_t pid = 0;
  bool main = false;
  std::optional<int> code;
  std::optional<int> signal;
};

/// The main command ended before its descendants.
struct LeftEvent {
  int count = 0;  ///< how many are still alive
};

/// The work directory is deleted, or as much of it as could be.
struct WorkdirEvent {
  std::int64_t files = 0;
  std::int64_t bytes = 0;
  Millis duration{};
};

/// The run is over; the last event.
struct EndedEvent {
  RunResult result = RunResult::success;
  int exit_code = 0;
};

struct Event {
  WallTime at;
  std::variant<StartedEvent, SignalEvent, RungEvent, AdoptedEvent, ExitedEvent, LeftEvent, WorkdirEvent, EndedEvent>
      what;
};

}  // namespace reapctl::core
