#include "sys/directory.hpp"

#include <array>
#include <atomic>
#include <charconv>
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

/// Set once openat2 turned out to be missing, or refused by a seccomp filter that does not know it.
std::atomic<bool> openat2_missing{false};

std::string proc_path(std::string_view directory, int fd) {
  return std::string("/proc/self/").append(directory).append(std::to_string(fd));
}

Result<std::uint64_t> mount_id_from_fdinfo(int fd) {
  const std::string path = proc_path("fdinfo/", fd);
  const UniqueFd info(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!info.valid()) return last_error("open", path);
  std::array<char, 512> text{};
  const ssize_t length = ::read(info.get(), text.data(), text.size());
  if (length < 0) return last_error("read", path);
  const std::string_view read_text(text.data(), static_cast<std::size_t>(length));
  constexpr std::string_view kKey = "mnt_id:\t";
  const std::size_t at = read_text.find(kKey);
  std::uint64_t id = 0;
  if (at == std::string_view::npos ||
      std::from_chars(read_text.data() + at + kKey.size(), text.data() + length, id).ec != std::errc{}) {
    return Error{.code = ENOSYS, .operation = "find mnt_id", .subject = path};
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

Result<UniqueFd> open_on_this_mount(int parent_fd, const char* name, int flags, MountCheck check) {
  if (check == MountCheck::mount_id || openat2_missing.load(std::memory_order_relaxed)) {
    return open_and_compare(parent_fd, name, flags);
  }
  struct open_how how {};
  how.flags = static_cast<decltype(how.flags)>(flags);
  how.resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH;
  const long fd = ::syscall(SYS_openat2, parent_fd, name, &how, sizeof how);
  if (fd >= 0) return UniqueFd(static_cast<int>(fd));
  // Opening a directory to read it gives EPERM for no reason of its own.
  if (errno != ENOSYS && errno != EPERM) return last_error("open", name);
  openat2_missing.store(true, std::memory_order_relaxed);
  return open_and_compare(parent_fd, name, flags);
}

/// fchmod(2) refuses an O_PATH descriptor; fchmodat(2) by name would follow a link. These two ways do neither.
bool chmod_named(int path_fd, mode_t mode) {
  if (::syscall(SYS_fchmodat2, path_fd, "", mode, AT_EMPTY_PATH) == 0) return true;
  if (errno != ENOSYS && errno != EPERM) return false;
  return ::chmod(proc_path("fd/", path_fd).c_str(), mode) == 0;
}

}  // namespace

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

Result<UniqueFd> open_subdirectory(int parent_fd, const char* name, MountCheck check) {
  return open_on_this_mount(parent_fd, name, kOpenDirectory, check);
}

Result<UniqueFd> open_subdirectory_by_force(int parent_fd, const char* name, MountCheck check) {
  auto named = open_on_this_mount(parent_fd, name, kNameDirectory, check);
  if (!named) return named;
  if (!chmod_named(named->get(), S_IRWXU)) return last_error("chmod", name);
  // Through the descriptor and not through the name again: this is the directory whose mode was changed.
  UniqueFd fd(::openat(named->get(), ".", kOpenDirectory));
  if (!fd.valid()) return last_error("open", name);
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
