#pragma once

#include "core/time.hpp"
#include "sys/result.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace reapctl::engine {

/// How long a reader may read nothing where nobody could ask us to stop waiting: then the run ends without it.
inline constexpr std::chrono::seconds kPatienceWithReader{5};

/// What came from where a request to stop may come from.
enum class Asked { no, yes, nobody_left };

/// What may end the wait for a slow reader: a request, if there is a descriptor, and a time, if there is one.
struct GiveUp {
  int fd = -1;
  std::function<Asked()> asked;               ///< called when `fd` is readable, to read from it
  bool alone = false;                         ///< nobody knows this process: it waits for kPatienceWithReader at a time
  std::optional<core::TimePoint> until = {};  ///< after this nothing is waited for any more
};

/// Whether `sent` failed because it was told to wait no longer, and not because the place takes nothing.
[[nodiscard]] bool has_given_up(const sys::Result<void>& sent);

/// How far write(2) has moved some bytes. Lies where a fork shares it, if somebody else is to go on; begins all zero.
struct Progress {
  std::atomic<std::size_t> written;
  std::atomic<std::size_t> block;   ///< 1 + where the last block for a regular file begins; 0 before the first
  std::atomic<std::int64_t> since;  ///< where in that file the block can be at the earliest
};

/// Bytes on their way out. SIGKILL may end the sender at any instant; then another process, which shares `Progress` and
/// counter, goes on behind the last byte that has arrived. User space alone cannot know that byte: it could note it
/// only after the system call that moves the bytes. So:
/// - A pipe, a socket, a terminal gets them by sendfile(2), which moves the position of the counter in the same call.
///   It refuses O_APPEND, which is taken off where that has no meaning.
/// - A regular file refuses that if it is appended to, and two who share its position overwrite each other by it. It
///   is written to, and can be looked into: from where it ended before, for what was to be written.
/// - Elsewhere (no counter) it is noted after write(2): a kill in between has the block sent twice.
class Outgoing {
 public:
  /// `counter` is a file of the same bytes, whose position only the senders move, through an open file description that
  /// they share; -1 if there is none. Its bytes must not change as long as somebody may read the other end of a pipe.
  Outgoing(std::string_view text, int counter, Progress& progress);
  Outgoing(int file, int counter, Progress& progress);

  /// Sends what lies before `end` and has not been sent. Waits for a slow reader until `give_up` says otherwise: error
  /// EINTR when asked to, ETIMEDOUT when time is up. Ends without error where the file ends.
  [[nodiscard]] sys::Result<void> send(int to, std::size_t end, const GiveUp& give_up);

  /// How many bytes have been sent or skipped.
  [[nodiscard]] std::size_t position() const;
  void skip_to(std::size_t position) { progress_.written.store(position); }

  /// At most `size` of the bytes.
  [[nodiscard]] std::string read(std::size_t at, std::size_t size) const;

 private:
  // As write(2) returns: how many bytes, or -1 and errno.
  [[nodiscard]] ssize_t send_some(int to, std::size_t at, std::size_t size);
  [[nodiscard]] ssize_t put_into_file(int to, std::size_t at, std::size_t size);
  [[nodiscard]] ssize_t write_some(int to, std::size_t at, const std::string& block);

  std::string_view text_;
  int file_ = -1;
  int counter_;
  Progress& progress_;
};

}  // namespace reapctl::engine
