#pragma once

#include "core/time.hpp"
#include "sys/result.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <sys/types.h>

namespace reapctl::engine {

/// A report on its way out, where both reapctl processes see how far it has come: whoever is left writes the rest, so
/// that there is one report in every case, never two, never none.
class SharedReport {
 public:
  /// Takes the whole text; false if it is too long to be shared.
  [[nodiscard]] bool set(std::string_view text);
  [[nodiscard]] bool is_set() const { return size_.load() > 0; }
  [[nodiscard]] std::string_view rest() const { return {text_ + written_.load(), size_.load() - written_.load()}; }
  void advance(std::size_t bytes) { written_.fetch_add(bytes); }

  /// How much of the output that was held back has followed it.
  [[nodiscard]] std::size_t replayed() const { return replayed_.load(); }
  void set_replayed(std::size_t bytes) { replayed_.store(bytes); }

 private:
  std::atomic<std::size_t> size_;
  std::atomic<std::size_t> written_;
  std::atomic<std::size_t> replayed_;
  char text_[4U << 20U];  ///< costs nothing until it is written to
};

/// What guard and supervisor know of each other. It lies in memory that a fork shares, and begins all zero.
struct SharedPage {
  std::atomic<pid_t> main_pid;        ///< written by the command itself before its exec
  std::atomic<pid_t> reachable_main;  ///< the same from its start until it is about to be reaped, else 0
  std::atomic<int> main_wait_code;    ///< CLD_EXITED, …: si_code once the main command was reaped, else 0
  std::atomic<int> main_wait_status;
  std::atomic<std::int64_t> stop_deadline_ns;  ///< of --stop-timeout, on the monotonic clock; 0 when none runs
  std::atomic<bool> done;                      ///< the supervisor has done everything, the report included
  std::atomic<int> exit_code;
  std::atomic<bool> die_of_interrupt;
  SharedReport report;

  /// `stop_deadline_ns` as a time; nullopt when none runs.
  [[nodiscard]] std::optional<core::TimePoint> stop_deadline() const;
};

struct Unmap {
  void operator()(SharedPage* page) const;
};
using SharedPagePtr = std::unique_ptr<SharedPage, Unmap>;

/// Errors: ENOMEM. Source: mmap(2), MAP_SHARED | MAP_ANONYMOUS.
[[nodiscard]] sys::Result<SharedPagePtr> make_shared_page();

}  // namespace reapctl::engine
