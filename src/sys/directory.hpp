#pragma once

#include "sys/result.hpp"
#include "sys/unique_fd.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <sys/types.h>

/// Directories by descriptor: opened without following a link or crossing a mount, read as a stream of entries.
namespace reapctl::sys {

/// TMPDIR, or /tmp where that is not set or empty.
[[nodiscard]] std::string temporary_directory();

/// Which directory. Inode numbers are recycled within seconds, so when it was born and whose it is count too.
struct DirectoryIdentity {
  dev_t device = 0;
  ino_t inode = 0;
  std::int64_t birth_time_ns = 0;  ///< since the epoch; 0 when the file system keeps none
  uid_t owner = 0;
  bool operator==(const DirectoryIdentity&) const = default;
};

/// The identity of the open directory `fd`. Errors: those of statx(2).
[[nodiscard]] Result<DirectoryIdentity> directory_identity(int fd);

/// Opens the directory `name` (one component) inside `parent_fd` for reading. Errors: EXDEV when a file system or a
/// bind mount sits on it, ENOTDIR or ELOOP when it is no directory or a link, and those of open(2). From Linux 5.6
/// openat2(2) refuses before the mounted file system is even touched; earlier kernels open it, and mount ids tell.
[[nodiscard]] Result<UniqueFd> open_subdirectory(int parent_fd, const char* name);

/// The same for a file, with the flags of open(2) (and O_NOFOLLOW | O_CLOEXEC): a file, too, can have something mounted
/// on it, such as a FUSE file system whose owner never answers.
[[nodiscard]] Result<UniqueFd> open_file(int parent_fd, const char* name, int flags);

/// The same with O_PATH: opens also what may not be read, and serves to name it.
[[nodiscard]] Result<UniqueFd> name_subdirectory(int parent_fd, const char* name);

/// Opens a directory that has been named, for reading; if we own it and may not, its mode becomes 0700. The mode is
/// changed through the descriptor, so that no link put there meanwhile is followed; that needs Linux 6.6 (fchmodat2)
/// or /proc. Without both: EACCES, and nothing was changed.
[[nodiscard]] Result<UniqueFd> open_named(int path_fd);

/// The id of the mount that `fd` was opened on. Source: statx(2) STATX_MNT_ID from Linux 5.8, else proc(5) fdinfo.
[[nodiscard]] Result<std::uint64_t> mount_id(int fd);

/// One name in a directory, valid as long as the buffer that it was read into.
struct DirectoryEntry {
  ino_t inode = 0;
  unsigned char type = 0;  ///< DT_DIR, …; DT_UNKNOWN where the file system does not say
  const char* name = nullptr;
};

/// Steps through what one getdents64(2) put into a buffer, leaving out "." and "..".
class EntryCursor {
 public:
  EntryCursor() = default;
  explicit EntryCursor(std::span<const std::byte> filled) : rest_(filled) {}
  /// The next entry; false at the end.
  [[nodiscard]] bool next(DirectoryEntry& entry);
  /// How many bytes are still to be stepped through.
  [[nodiscard]] std::size_t bytes_left() const { return rest_.size(); }

 private:
  std::span<const std::byte> rest_;
};

/// Reads further entries of `fd` into `buffer` (aligned for 8 bytes); how many bytes, 0 at the end. A directory that
/// somebody removed has ended.
[[nodiscard]] Result<std::size_t> read_entries(int fd, std::span<std::byte> buffer);

}  // namespace reapctl::sys
