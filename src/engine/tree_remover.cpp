#include "engine/tree_remover.hpp"

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <dirent.h>
#include <fcntl.h>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace reapctl::engine {
namespace {

constexpr std::size_t kBufferBytes = 32 * 1024;

/// Blocks that unlinking this name will free.
std::int64_t bytes_freed(int directory_fd, const char* name) {
  struct statx status {};
  constexpr int kFlags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;
  if (::statx(directory_fd, name, kFlags, STATX_NLINK | STATX_BLOCKS, &status) != 0) return 0;
  return status.stx_nlink == 1 ? static_cast<std::int64_t>(status.stx_blocks) * 512 : 0;
}

}  // namespace

TreeRemover::TreeRemover(int parent_fd, const std::string& name, RemovalProgress& progress,
                         const RemoverOptions& options)
    : parent_fd_(parent_fd), name_(name), progress_(progress), options_(options) {
  // Not a name that an earlier, interrupted removal may have left behind.
  lifted_prefix_ = ".reapctl-" + std::to_string(std::chrono::steady_clock::now().time_since_epoch().count()) + "-";
}

void TreeRemover::run(const DirectoryIdentity& expected) {
  expected_ = expected;
  progress_.set_threads(1);
  auto fd = sys::open_subdirectory(parent_fd_, name_.c_str(), options_.mount_check);
  if (!fd && fd.error().code == EACCES) {
    fd = sys::open_subdirectory_by_force(parent_fd_, name_.c_str(), options_.mount_check);
  }
  if (!fd) {
    if (fd.error().code == ENOENT) return progress_.set_complete();
    return progress_.add_error(name_, fd.error().code);
  }
  const auto identity = sys::directory_identity(fd->get());
  if (!identity) return progress_.add_error(name_, identity.error().code);
  if (*identity != expected_) return progress_.add_error(name_, ESTALE);
  push(fd.take(), name_);
  while (!stack_.empty() && !progress_.stopping()) {
    sys::DirectoryEntry entry;
    if (next_entry(stack_.back(), entry)) {
      remove_entry(entry);
    } else {
      leave();
    }
  }
}

void TreeRemover::push(sys::UniqueFd fd, std::string name) {
  stack_.push_back(
      {.fd = std::move(fd), .name = std::move(name), .buffer = std::vector<std::byte>(kBufferBytes), .cursor = {}});
}

bool TreeRemover::next_entry(Level& level, sys::DirectoryEntry& entry) {
  while (!level.cursor.next(entry)) {
    const auto length = sys::read_entries(level.fd.get(), level.buffer);
    if (!length) {
      failed(".", length.error().code);
      return false;
    }
    if (*length == 0) return false;
    level.cursor = sys::EntryCursor(std::span(level.buffer).first(*length));
  }
  return true;
}

void TreeRemover::remove_entry(const sys::DirectoryEntry& entry) {
  // The type only says what to try first; the kernel says what it is when it is touched.
  if (entry.type == DT_DIR || !remove_file(entry.name)) enter(entry.name);
}

bool TreeRemover::remove_file(const char* name) {
  Level& level = stack_.back();
  const std::int64_t bytes = bytes_freed(level.fd.get(), name);
  int result = ::unlinkat(level.fd.get(), name, 0);
  if (result != 0 && errno == EACCES && make_passable(level)) result = ::unlinkat(level.fd.get(), name, 0);
  if (result == 0) {
    progress_.add_file();
    progress_.add_bytes(bytes);
  } else if (errno == EISDIR) {
    return false;
  } else if (errno != ENOENT) {
    failed(name, errno);
  }
  return true;
}

void TreeRemover::enter(const char* name) {
  if (stack_.size() >= kMaxDepth) return lift(name);
  Level& level = stack_.back();
  auto fd = sys::open_subdirectory(level.fd.get(), name, options_.mount_check);
  if (!fd && fd.error().code == EACCES) {
    // Either of the two: the directory it is in may not be searched, or it may not be read itself.
    (void)make_passable(level);
    fd = sys::open_subdirectory_by_force(level.fd.get(), name, options_.mount_check);
  }
  if (fd) return push(fd.take(), name);
  enter_failed(name, fd.error().code);
}

void TreeRemover::enter_failed(const char* name, int code) {
  if (code == ENOENT) return;
  // It was replaced since it was read. If it keeps changing, the directory it is in is found not empty, and read again.
  if (code == ENOTDIR || code == ELOOP) return void(remove_file(name));
  if ((code == EMFILE || code == ENFILE) && stack_.size() > 1) return lift(name);
  // What cannot be read may be empty.
  if (code != EXDEV && ::unlinkat(stack_.back().fd.get(), name, AT_REMOVEDIR) == 0) return progress_.add_directory();
  failed(name, code);
}

void TreeRemover::lift(const char* name) {
  Level& root = stack_.front();
  Level& level = stack_.back();
  const std::string target = lifted_prefix_ + std::to_string(lifted_);
  // Should the name be taken, all that a rename can replace is something else in the tree.
  int result = ::renameat(level.fd.get(), name, root.fd.get(), target.c_str());
  if (result != 0 && errno == EACCES) {
    // Moving a directory writes to both directories and to its own "..".
    (void)make_passable(level);
    (void)make_passable(root);
    (void)sys::open_subdirectory_by_force(level.fd.get(), name, options_.mount_check);
    result = ::renameat(level.fd.get(), name, root.fd.get(), target.c_str());
  }
  if (result == 0) {
    ++lifted_;
    return;
  }
  const int code = errno;
  if (code == ENOENT) return;
  if (::unlinkat(level.fd.get(), name, AT_REMOVEDIR) == 0) return progress_.add_directory();
  failed(name, code);
}

bool TreeRemover::take_lifted(std::string& name) {
  if (lifted_taken_ == lifted_) return false;
  name = lifted_prefix_ + std::to_string(lifted_taken_++);
  return true;
}

void TreeRemover::leave() {
  if (stack_.size() == 1) return leave_root();
  Level level = std::move(stack_.back());
  stack_.pop_back();
  Level& above = stack_.back();
  if (level.kept) {
    above.kept = true;
    return;
  }
  int result = ::unlinkat(above.fd.get(), level.name.c_str(), AT_REMOVEDIR);
  if (result != 0 && errno == EACCES && make_passable(above)) {
    result = ::unlinkat(above.fd.get(), level.name.c_str(), AT_REMOVEDIR);
  }
  if (result == 0) return progress_.add_directory();
  const int code = errno;
  if (code == ENOTEMPTY && level.scans < kMaxScans && ::lseek(level.fd.get(), 0, SEEK_SET) == 0) {
    ++level.scans;
    return stack_.push_back(std::move(level));
  }
  // ENOTDIR: it was moved away and something else stands in its place.
  if (code == ENOTDIR) return void(remove_file(level.name.c_str()));
  if (code != ENOENT) failed(level.name.c_str(), code);
}

void TreeRemover::leave_root() {
  Level& root = stack_.back();
  std::string lifted;
  if (take_lifted(lifted)) return enter(lifted.c_str());
  Level level = std::move(root);
  stack_.pop_back();
  if (level.kept) return;
  const auto still = sys::open_subdirectory(parent_fd_, name_.c_str(), options_.mount_check);
  if (!still) return progress_.add_error(name_, still.error().code);
  // rmdir takes a name, so another directory may still slip in here; it would have to be empty.
  if (const auto identity = sys::directory_identity(still->get()); !identity || *identity != expected_) {
    return progress_.add_error(name_, ESTALE);
  }
  if (::unlinkat(parent_fd_, name_.c_str(), AT_REMOVEDIR) == 0) {
    progress_.add_directory();
    return progress_.set_complete();
  }
  const int code = errno;
  if (code == ENOTEMPTY && level.scans < kMaxScans && ::lseek(level.fd.get(), 0, SEEK_SET) == 0) {
    ++level.scans;
    return stack_.push_back(std::move(level));
  }
  progress_.add_error(name_, code);
}

bool TreeRemover::make_passable(Level& level) const {
  return ::fchmod(level.fd.get(), S_IRWXU) == 0;
}

void TreeRemover::failed(const char* name, int code) {
  stack_.back().kept = true;
  std::string path;
  for (const Level& level : stack_) path.append(level.name).append("/");
  progress_.add_error(path.append(name), code);
}

}  // namespace reapctl::engine
