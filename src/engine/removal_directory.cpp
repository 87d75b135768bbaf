#include "engine/removal_directory.hpp"

#include <algorithm>
#include <cstring>
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace reapctl::engine {
namespace {

/// Most directories are small, and one buffer is held for each level of each thread.
constexpr std::size_t kSmallBuffer = 4 * 1024;
constexpr std::size_t kLargeBuffer = 64 * 1024;

/// How often a directory is read again because something appeared in it after it had been emptied.
constexpr int kMaxScans = 10;

}  // namespace

RemovalDirectory::RemovalDirectory(sys::UniqueFd fd, std::string name, Ptr above)
    : fd_(std::move(fd)),
      name_(std::move(name)),
      above_(std::move(above)),
      depth_(above_ == nullptr ? 0 : above_->depth_ + 1) {}

std::string RemovalDirectory::path_of(std::string_view entry) const {
  std::vector<const RemovalDirectory*> levels;
  for (const RemovalDirectory* level = this; level != nullptr; level = level->above_.get()) levels.push_back(level);
  std::string path;
  for (auto level = levels.rbegin(); level != levels.rend(); ++level) path.append((*level)->name_).append("/");
  return path.append(entry);
}

sys::Result<bool> RemovalDirectory::fill() {
  // A small buffer that comes back well filled announces a wide directory.
  const std::size_t wanted = filled_ > kSmallBuffer / 2 ? kLargeBuffer : kSmallBuffer;
  if (buffer_size_ < wanted) {
    buffer_ = std::make_unique_for_overwrite<std::byte[]>(wanted);
    buffer_size_ = wanted;
  }
  auto length = sys::read_entries(fd_.get(), {buffer_.get(), buffer_size_});
  if (!length) return length.error();
  filled_ = *length;
  unclaimed_ = {buffer_.get(), filled_};
  return filled_ > 0;
}

void RemovalDirectory::take_slice(EntrySlice& slice) {
  sys::EntryCursor cursor(unclaimed_);
  sys::DirectoryEntry entry;
  std::size_t taken = 0;
  for (int count = 0; count < EntrySlice::kMaxEntries && cursor.next(entry); ++count) {
    const std::size_t end = unclaimed_.size() - cursor.bytes_left();
    const bool perhaps_directory = entry.type == DT_DIR || entry.type == DT_UNKNOWN;
    if (count > 0 && (perhaps_directory || end > slice.records.size())) break;
    taken = end;
    if (perhaps_directory) break;
  }
  if (taken == 0) taken = unclaimed_.size();  // "." and ".." were the last ones
  slice.size = std::min(taken, slice.records.size());
  std::memcpy(slice.records.data(), unclaimed_.data(), slice.size);
  unclaimed_ = unclaimed_.subspan(taken);
}

sys::Result<RemovalDirectory::Claim> RemovalDirectory::claim(EntrySlice& slice) {
  const std::lock_guard lock(mutex_);
  if (ended_) return Claim::ended;
  if (unclaimed_.empty()) {
    auto more = fill();
    if (!more || !*more) {
      ended_ = true;
      buffer_.reset();
      buffer_size_ = 0;
      if (!more) return more.error();
      return Claim::end;
    }
  }
  take_slice(slice);
  hold();
  return Claim::slice;
}

bool RemovalDirectory::read_again() {
  if (scans_.load(std::memory_order_relaxed) >= kMaxScans) return false;
  if (::lseek(fd_.get(), 0, SEEK_SET) != 0) return false;
  scans_.fetch_add(1, std::memory_order_relaxed);
  const std::lock_guard lock(mutex_);
  ended_ = false;
  hold();
  return true;
}

bool RemovalDirectory::make_passable() const {
  return ::fchmod(fd_.get(), S_IRWXU) == 0;
}

}  // namespace reapctl::engine
