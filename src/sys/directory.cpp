#include "sys/directory.hpp"

#include <array>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

namespace reapctl::sys {
namespace {

constexpr int kOpenDirectory = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
constexpr int kNameDirectory = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

std::string proc_path(std::string_view directory, int fd) {
  return std::string("/proc/self/").append(directory).append(std::to_string(fd));
}

Result<std::uint64_t> mount_id_from_fdinfo(int fd) {
  const std::string path = proc_path("fdinfo/", fd);
  const UniqueFd info(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  // Not the errno of the open: it would read as one of the directory's.
  if (!info.valid()) return Error{.code = ENOSYS, .operation = "find the mount of", .subject = path};
  std::array<char, 512> text{};
  const ssize_t length = ::read(info.get(), text.data(), text.size());
  if (length < 0) return last_error("read", path);
  const std::string_view read_text(text.data(), static_cast<std::size_t>(length));
  constexpr std::string_view kKey = "mnt_id:\t";
  const std::size_t at = read_text.find(kKey);
  std::uint64_t id = 0;
  if (at == std::string_view::npos ||
      std::from_chars(read_text.data() + at + kKey.size(), text.data() + length, id).ec != std::errc{}) {
    return Error{.code = ENOSYS, .operation = "find the mount of", .subject = path};
  }
  return id;
}

/// For kernels without openat2: whatever is opened is compared with its parent before anybody uses it.
Result<UniqueFd> open_and_compare(int parent_fd, const char* name, int flags) {
  UniqueFd fd(::openat(parent_fd, name, flags));
  if (!fd.valid()) return last_error("open", name);
  const auto above = mount_id(parent_fd);
  if (!above) return above.error();
  const auto here = mount_id(fd.get());
  if (!here) return here.error();
  if (*here != *above) return Error{.code = EXDEV, .operation = "open", .subject = name};
  return fd;
}

Result<UniqueFd> open_on_this_mount(int parent_fd, const char* name, int flags) {
  struct open_how how {};
  how.flags = static_cast<decltype(how.flags)>(flags);
  how.resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH;
  const long fd = ::syscall(SYS_openat2, parent_fd, name, &how, sizeof how);
  if (fd >= 0) return UniqueFd(static_cast<int>(fd));
  // EPERM: a seccomp filter that does not know the call. Opening a directory to read it has no EPERM of its own.
  if (errno == ENOSYS || errno == EPERM) return open_and_compare(parent_fd, name, flags);
  return last_error("open", name);
}

/// 0 or an errno. fchmod(2) refuses an O_PATH descriptor, and fchmodat(2) by name would follow a link; these two ways
/// do neither.
int chmod_path_fd(int path_fd, mode_t mode) {
  if (::syscall(SYS_fchmodat2, path_fd, "", mode, AT_EMPTY_PATH) == 0) return 0;
  // EPERM: not ours to change, or a seccomp filter that does not know the call.
  if (errno != ENOSYS && errno != EPERM) return errno;
  if (::chmod(proc_path("fd/", path_fd).c_str(), mode) == 0) return 0;
  return errno == ENOENT ? EACCES : errno;  // the descriptor is open: it is /proc that is not there
}

}  // namespace

std::string temporary_directory() {
  const char* directory = std::getenv("TMPDIR");
  return directory != nullptr && *directory != '\0' ? directory : "/tmp";
}

Result<DirectoryIdentity> directory_identity(int fd) {
  struct statx status {};
  if (::statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &status) != 0) return last_error("statx");
  DirectoryIdentity identity{.device = makedev(status.stx_dev_major, status.stx_dev_minor),
                             .inode = status.stx_ino,
                             .birth_time_ns = 0,
                             .owner = status.stx_uid};
  if ((status.stx_mask & STATX_BTIME) != 0) {
    identity.birth_time_ns = status.stx_btime.tv_sec * 1'000'000'000 + status.stx_btime.tv_nsec;
  }
  return identity;
}

Result<std::uint64_t> mount_id(int fd) {
  struct statx status {};
  if (::statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &status) == 0 && (status.stx_mask & STATX_MNT_ID) != 0) {
    return status.stx_mnt_id;
  }
  return mount_id_from_fdinfo(fd);
}

Result<UniqueFd> open_subdirectory(int parent_fd, const char* name) {
  return open_on_this_mount(parent_fd, name, kOpenDirectory);
}

Result<UniqueFd> open_file(int parent_fd, const char* name, int flags) {
  return open_on_this_mount(parent_fd, name, flags | O_NOFOLLOW | O_CLOEXEC);
}

Result<UniqueFd> name_subdirectory(int parent_fd, const char* name) {
  return open_on_this_mount(parent_fd, name, kNameDirectory);
}

Result<UniqueFd> open_named(int path_fd) {
  UniqueFd fd(::openat(path_fd, ".", kOpenDirectory));
  if (!fd.valid() && errno == EACCES) {
    if (const int code = chmod_path_fd(path_fd, S_IRWXU); code != 0)
      return Error{.code = code, .operation = "chmod", .subject = {}};
    fd.reset(::openat(path_fd, ".", kOpenDirectory));
  }
  if (!fd.valid()) return last_error("open");
  return fd;
}

bool EntryCursor::next(DirectoryEntry& entry) {
  while (!rest_.empty()) {
    // The kernel aligns records for this; the buffer is aligned by contract.
    const auto* record = reinterpret_cast<const dirent64*>(rest_.data());
    rest_ = rest_.subspan(record->d_reclen);
    const char* name = record->d_name;
    if (name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'))) continue;
    entry = {.inode = record->d_ino, .type = record->d_type, .name = name};
    return true;
  }
  return false;
}

Result<std::size_t> read_entries(int fd, std::span<std::byte> buffer) {
  const ssize_t length = ::getdents64(fd, buffer.data(), buffer.size());
  if (length >= 0) return static_cast<std::size_t>(length);
  if (errno == ENOENT) return std::size_t{0};
  return last_error("getdents64");
}

}  // namespace reapctl::sys
