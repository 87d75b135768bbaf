#pragma once

#include "core/time.hpp"
#include "engine/removal_board.hpp"
#include "engine/removal_directory.hpp"
#include "engine/remover.hpp"
#include "sys/directory.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <sys/stat.h>
#include <thread>
#include <vector>

namespace reapctl::engine {

/// One removal: the walk behind remove_directory.
///
/// Every name is resolved against the descriptor of the directory that it was read from; a directory is entered only if
/// it is a directory, on the same mount, and no link. So whatever is renamed or replaced meanwhile, what is deleted was
/// at that moment inside a directory that had been reached from the work directory.
///
/// Depth. There is no recursion, and the way up is never "..", for that leads out of the tree when somebody moved the
/// directory away: each level holds its descriptor until it is empty. So there must not be too many: a directory found
/// below kMaxDepth levels is moved up ("lifted"), to a new name directly in the work directory, and deleted later from
/// there. That costs one rename for every kMaxDepth levels of a chain, no memory for the path, and no second visit of
/// any level. What refuses to be renamed, be it that the disk is too full for one more name in the work directory, is
/// entered all the same, down to kMostDepth levels.
///
/// End. A directory is read again a bounded number of times. But a process that makes new directories in new ones, as
/// fast as they are deleted, would keep the removal going for ever. So directories younger than the removal are entered
/// only until kMaxNewborn of them have gone. Where the file system keeps no birth times, only --stop-timeout ends that.
class TreeRemover {
 public:
  TreeRemover(int parent_fd, const std::string& name, const DirectoryIdentity& expected, RemovalProgress& progress);
  /// Starts with the calling thread alone; others join when it takes longer than a moment. Returns when all have ended.
  void run();
  /// Instead of run(), where there can be no thread: a part of it, until `end`. True once all is done.
  [[nodiscard]] bool run_until(core::TimePoint end);

  static constexpr int kMaxDepth = 16;
  static constexpr int kMostDepth = 40;
  static constexpr int kMaxNewborn = 20'000;

 private:
  using Ptr = RemovalDirectory::Ptr;

  [[nodiscard]] bool begin();
  [[nodiscard]] sys::Result<sys::UniqueFd> name_root() const;
  void start_helpers();
  [[nodiscard]] bool work(Ptr& directory, std::optional<core::TimePoint> until);
  [[nodiscard]] Ptr next_directory();
  [[nodiscard]] Ptr work_on_slice(Ptr directory, const EntrySlice& slice);

  [[nodiscard]] bool remove_file(RemovalDirectory& directory, const char* name);
  [[nodiscard]] Ptr enter(const Ptr& directory, const char* name);
  [[nodiscard]] Ptr enter_failed(const Ptr& directory, const char* name, int code);
  [[nodiscard]] int lift(RemovalDirectory& directory, const char* name);
  [[nodiscard]] std::string lifted_name(std::int64_t number) const;

  [[nodiscard]] Ptr emptied(Ptr directory);
  enum class Removed { yes, no, read_again };
  [[nodiscard]] Removed remove_emptied(RemovalDirectory& directory);
  [[nodiscard]] bool is_newborn(const struct statx& status) const;
  [[nodiscard]] int remove_root_name() const;
  void failed(RemovalDirectory& directory, const char* name, int code);

  const int parent_fd_;
  const std::string name_;
  const DirectoryIdentity expected_;
  RemovalProgress& progress_;
  const std::string lifted_prefix_;
  const std::int64_t began_ns_;  ///< since the epoch
  std::atomic<int> newborn_{0};  ///< directories younger than that, and gone
  RemovalBoard board_;
  Ptr root_;
  Ptr here_;                      ///< where the thread that began is at work
  std::mutex lifting_;            ///< one lift at a time, as in the kernel
  std::int64_t next_lifted_ = 0;  ///< guarded by lifting_
  std::vector<std::jthread> helpers_;
};

}  // namespace reapctl::engine
