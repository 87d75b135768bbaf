#pragma once

#include "engine/remover.hpp"
#include "sys/directory.hpp"
#include "sys/unique_fd.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace reapctl::engine {

/// One removal: the walk behind remove_directory.
///
/// Every name is resolved against the descriptor of the directory that it was read from; a directory is entered only if
/// it is a directory, on the same mount, and no link. So whatever is renamed or replaced meanwhile, what is deleted was
/// at that moment inside a directory that had been reached from the work directory.
///
/// Depth. The stack is a vector, and never goes up by "..", for that leads out of the tree when somebody moved the
/// directory away. Each level holds its descriptor until it is empty, so there must not be too many: a directory
/// found below kMaxDepth levels is moved up, to a new name directly in the work directory, and deleted later from
/// there. That costs one rename for every kMaxDepth levels of a chain, no memory for the path, and no second visit of
/// any level. What refuses to be renamed (immutable, somebody else's in a sticky directory) refuses rmdir as well.
class TreeRemover {
 public:
  TreeRemover(int parent_fd, const std::string& name, RemovalProgress& progress, const RemoverOptions& options);
  void run(const DirectoryIdentity& expected);

 private:
  /// An open directory on the way down.
  struct Level {
    sys::UniqueFd fd;
    std::string name;               ///< in the level above
    std::vector<std::byte> buffer;  ///< what cursor steps through
    sys::EntryCursor cursor;
    bool kept = false;  ///< something in it could not be deleted, so neither can it
    int scans = 1;
  };

  static constexpr std::size_t kMaxDepth = 32;
  /// How often a directory is read again because something appeared in it after it had been emptied.
  static constexpr int kMaxScans = 10;

  void push(sys::UniqueFd fd, std::string name);
  [[nodiscard]] bool next_entry(Level& level, sys::DirectoryEntry& entry);
  void remove_entry(const sys::DirectoryEntry& entry);
  /// False if it is a directory.
  [[nodiscard]] bool remove_file(const char* name);
  void enter(const char* name);
  void enter_failed(const char* name, int code);
  void lift(const char* name);
  /// The next directory that was lifted, if there is one.
  [[nodiscard]] bool take_lifted(std::string& name);
  void leave();
  void leave_root();
  [[nodiscard]] bool make_passable(Level& level) const;
  void failed(const char* name, int code);

  const int parent_fd_;
  const std::string name_;
  RemovalProgress& progress_;
  const RemoverOptions options_;
  DirectoryIdentity expected_;
  std::vector<Level> stack_;
  std::string lifted_prefix_;
  std::int64_t lifted_ = 0;        ///< how many were moved up
  std::int64_t lifted_taken_ = 0;  ///< how many of those were entered
};

}  // namespace reapctl::engine
