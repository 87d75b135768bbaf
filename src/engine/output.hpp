#pragma once

#include "core/plan.hpp"
#include "core/time.hpp"
#include "engine/shared_page.hpp"
#include "sys/result.hpp"
#include "sys/unique_fd.hpp"

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace reapctl::engine {

/// Who or what may end the wait for a slow reader. Without a descriptor nobody can, without a time nothing does.
struct GiveUp {
  int fd = -1;
  std::function<bool()> asked;  ///< called when `fd` is readable, to read from it: whether that was a request to stop
  std::optional<core::TimePoint> until = {};  ///< after this nothing is waited for any more
};

/// Writes all of `text`. Waits for a slow reader until `give_up` says otherwise: error EINTR when asked to,
/// ETIMEDOUT when time is up. Counts in `shared`, if there is one, how far it has come.
[[nodiscard]] sys::Result<void> write_patiently(int fd, std::string_view text, const GiveUp& give_up,
                                                SharedReport* shared);

/// Whether `written` ended because nothing is to be waited for any more; else it is the place that takes nothing.
[[nodiscard]] bool has_given_up(const sys::Result<void>& written);

/// Where a report goes. Opened before anything is started, so that a place that cannot be written is known then.
/// A regular file is only replaced at the end, in one step; anything else is opened at once.
class ReportOutput {
 public:
  /// Errors: EBADF, ENOENT, EACCES, EISDIR, … with the path or descriptor as subject.
  [[nodiscard]] static sys::Result<ReportOutput> open(const core::OutputTarget& target);

  /// Writes `text` and a line feed. Waits for a slow reader until `give_up` says otherwise: error EINTR when asked to,
  /// ETIMEDOUT when time is up. With `shared`, another process can finish what this one has begun.
  [[nodiscard]] sys::Result<void> write(std::string_view text, const GiveUp& give_up, SharedReport* shared);

  /// Finishes what another process began to write.
  [[nodiscard]] sys::Result<void> resume(SharedReport& shared, const GiveUp& give_up);

  [[nodiscard]] bool wanted() const { return kind_ != Kind::nowhere; }
  /// The descriptor that must stay open during the run; -1 if there is none.
  [[nodiscard]] int descriptor() const { return fd_.get(); }

 private:
  enum class Kind { nowhere, stream, replaced_file, late_fifo };
  [[nodiscard]] static sys::Result<ReportOutput> open_file(const std::string& path);
  [[nodiscard]] sys::Result<void> put(std::string_view text, const GiveUp& give_up, SharedReport* shared);
  [[nodiscard]] sys::Result<void> replace(std::string_view text) const;

  Kind kind_ = Kind::nowhere;
  sys::UniqueFd fd_;   ///< the stream, or the directory of the file
  std::string path_;   ///< as given, for messages
  std::string name_;   ///< below the directory
  std::string fresh_;  ///< the new file beside it, until it takes its place
};

/// Where events go, one line each, as they happen. Never waits: what a reader is too slow for is dropped and counted.
class EventOutput {
 public:
  /// A file is appended to and made if it is not there. Errors: as for ReportOutput.
  [[nodiscard]] static sys::Result<EventOutput> open(const core::OutputTarget& target);

  void write(std::string line);
  [[nodiscard]] bool wanted() const { return fd_.valid(); }
  [[nodiscard]] int descriptor() const { return fd_.get(); }
  /// Those for which there was no room in time.
  [[nodiscard]] int dropped() const { return dropped_; }
  /// Those that could not be written, and why the first of them could not: an errno.
  [[nodiscard]] int failed() const { return failed_; }
  [[nodiscard]] int failure() const { return failure_; }

 private:
  sys::UniqueFd fd_;
  bool regular_ = false;
  int dropped_ = 0;
  int failed_ = 0;
  int failure_ = 0;
};

}  // namespace reapctl::engine
