#pragma once

#include "core/report.hpp"
#include "engine/outgoing.hpp"
#include "sys/result.hpp"
#include "sys/unique_fd.hpp"

#include <array>
#include <cstddef>
#include <string>
#include <vector>

namespace reapctl::engine {

/// The output of a command that is shown only if the command fails: it writes straight into two files without a name,
/// so there is nothing to copy, nothing to block on and no limit to the size. In memory if there is no place for a
/// file.
class HeldOutput {
 public:
  /// Call it while 1 is still the caller's standard output. Errors: EMFILE and the like.
  [[nodiscard]] static sys::Result<HeldOutput> open();

  /// What the command gets as its standard output and standard error.
  [[nodiscard]] int command_stdout() const { return held_[0].get(); }
  [[nodiscard]] int command_stderr() const { return held_[1].get(); }

  /// What must stay open during the run.
  [[nodiscard]] std::vector<int> descriptors() const;

  // Of the two, 0 is standard output and 1 is standard error.

  /// In bytes.
  [[nodiscard]] std::size_t size(std::size_t which) const;
  /// Whether the last one of the first `size` bytes is a line feed.
  [[nodiscard]] bool ends_a_line(std::size_t which, std::size_t size) const;
  /// To send them, from where that has come to already.
  [[nodiscard]] Outgoing bytes(std::size_t which, Progress& progress) const;
  /// The descriptor of where they would have gone.
  [[nodiscard]] int place(std::size_t which) const;

  /// Whether the disk is full, so that the command may have been refused to write more. Source: statvfs(3).
  [[nodiscard]] bool has_no_room() const;

  /// The last `size` bytes of each.
  [[nodiscard]] core::OutputReport tails(std::size_t size) const;

 private:
  std::array<sys::UniqueFd, 2> held_;
  std::array<sys::UniqueFd, 2> counters_;  ///< the same files, with a position that the command cannot move
  sys::UniqueFd stdout_;                   ///< the caller's
};

}  // namespace reapctl::engine
