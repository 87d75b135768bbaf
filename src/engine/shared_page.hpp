#pragma once

#include "core/time.hpp"
#include "engine/outgoing.hpp"
#include "sys/result.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <sys/types.h>

namespace reapctl::engine {

/// What a delivery consists of: stretches of its text, and between them what was held back.
struct DeliveryParts {
  std::size_t begin = 0;
  std::size_t report_end = 0;                ///< behind this the text is for stderr
  std::array<std::size_t, 3> around_held{};  ///< where the text above standard output ends, above standard error, below
  std::array<std::size_t, 2> held_sizes{};
};

/// What is to be delivered and how far it has come. May lie in memory that a fork shares; begins all zero.
struct DeliveryState {
  std::atomic<std::size_t> versions;  ///< how many of `parts` there are; the last one counts
  std::array<DeliveryParts, 2> parts;
  Progress text;
  std::array<Progress, 2> held;
};

/// A delivery that both reapctl processes see: the one that is left does the rest, so that there is one report in every
/// case, never two, never none.
struct SharedReport {
  char text[4U << 20U];  ///< first in the page, as in its file; costs nothing until it is written to
  DeliveryState state;
  int file;  ///< that of the page, in both processes: its position counts what was sent of the text; -1 without one

  [[nodiscard]] bool is_set() const { return state.versions.load() > 0; }
};

/// What guard and supervisor know of each other. It lies in memory that a fork shares, and begins all zero.
struct SharedPage {
  SharedReport report;
  std::atomic<pid_t> main_pid;        ///< written by the command itself before its exec
  std::atomic<pid_t> reachable_main;  ///< the same from its start until it is about to be reaped, else 0
  std::atomic<bool> keys_taken_over;  ///< keys that are pressed from here on reach the command by themselves
  std::atomic<bool> keys_left;        ///< the guard leaves keys unheard until it is told that the command was started
  std::atomic<int> main_wait_code;    ///< CLD_EXITED, …: si_code once the main command was reaped, else 0
  std::atomic<int> main_wait_status;
  std::atomic<std::int64_t> stop_deadline_ns;  ///< of --stop-timeout, on the monotonic clock; 0 when none runs
  std::atomic<bool> stop_asked;                ///< the guard has passed on a request to stop
  std::atomic<bool> done;                      ///< the supervisor has done everything, the report included
  std::atomic<int> exit_code;
  std::atomic<bool> die_of_interrupt;

  /// `stop_deadline_ns` as a time; nullopt when none runs.
  [[nodiscard]] std::optional<core::TimePoint> stop_deadline() const;
};

struct Unmap {
  void operator()(SharedPage* page) const;
};
using SharedPagePtr = std::unique_ptr<SharedPage, Unmap>;

/// A page in a file in memory; without a file where none of its size may be made (RLIMIT_FSIZE). Errors: ENOMEM.
/// Source: mmap(2), memfd_create(2).
[[nodiscard]] sys::Result<SharedPagePtr> make_shared_page();

}  // namespace reapctl::engine
