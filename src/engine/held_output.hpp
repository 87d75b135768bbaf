#pragma once

#include "core/report.hpp"
#include "engine/output.hpp"
#include "engine/shared_page.hpp"
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

  /// Writes what was held back to where it would have gone, with a line on standard error above each. With `shared`,
  /// goes on where another process has left off. Waits for a slow reader until `give_up` says otherwise. If one of the
  /// two cannot be written to, the other gets its part all the same.
  void replay(const GiveUp& give_up, SharedReport* shared) const;

  /// Whether the disk is full, so that the command may have been refused to write more. Source: statvfs(3).
  [[nodiscard]] bool has_no_room() const;

  /// The last `size` bytes of each.
  [[nodiscard]] core::OutputReport tails(std::size_t size) const;

 private:
  std::array<sys::UniqueFd, 2> held_;
  sys::UniqueFd stdout_;  ///< the caller's
};

}  // namespace reapctl::engine
