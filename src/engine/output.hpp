#pragma once

#include "core/plan.hpp"
#include "engine/outgoing.hpp"
#include "sys/result.hpp"
#include "sys/unique_fd.hpp"

#include <cstddef>
#include <string>
#include <string_view>

namespace reapctl::engine {

/// Where a report goes. Opened before anything is started, so that a place that cannot be written is known then.
/// A regular file is only replaced at the end, in one step; anything else is opened at once.
class ReportOutput {
 public:
  /// Errors: EBADF, ENOENT, EACCES, EISDIR, … with the path or descriptor as subject.
  [[nodiscard]] static sys::Result<ReportOutput> open(const core::OutputTarget& target);

  /// Sends what lies before `end`. Waits for a slow reader until `give_up` says otherwise: error EINTR when asked to,
  /// ETIMEDOUT when time is up. Another process can finish what this one has begun, but for a FIFO that had no reader
  /// at the start: whoever reads it sees an end when this process dies.
  [[nodiscard]] sys::Result<void> send(Outgoing& bytes, std::size_t end, const GiveUp& give_up) const;

  [[nodiscard]] bool wanted() const { return kind_ != Kind::nowhere; }
  /// The descriptor that must stay open during the run; -1 if there is none.
  [[nodiscard]] int descriptor() const { return fd_.get(); }

 private:
  enum class Kind { nowhere, stream, replaced_file, late_fifo };
  [[nodiscard]] static sys::Result<ReportOutput> open_file(const std::string& path);
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
