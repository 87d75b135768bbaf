#include "sys/cgroup.hpp"

#include "sys/directory.hpp"

#include <array>
#include <cerrno>
#include <cstddef>
#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <span>
#include <sys/vfs.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace reapctl::sys {
namespace {

constexpr int kOpenDirectory = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

/// The directories in `fd`, at most so many of them.
std::vector<std::string> subdirectories(int fd, std::size_t limit) {
  std::vector<std::string> names;
  // A descriptor of its own, for the one we have may be good for a path only.
  const UniqueFd reading(::openat(fd, ".", kOpenDirectory));
  if (!reading.valid()) return names;
  alignas(8) std::array<std::byte, 16384> buffer;  // left as it is: filled by getdents64
  for (;;) {
    const auto filled = read_entries(reading.get(), buffer);
    if (!filled || *filled == 0) return names;
    EntryCursor cursor(std::span<const std::byte>(buffer).first(*filled));
    for (DirectoryEntry entry; cursor.next(entry);) {
      if (entry.type == DT_DIR) names.emplace_back(entry.name);
      if (names.size() >= limit) return names;
    }
  }
}

/// Steps down into the cgroups below one, and up again by "..", which leads back for sure: a cgroup v2 cannot be moved.
/// Nobody mounts anything into the way either, open_subdirectory would not go there.
class Walk {
 public:
  explicit Walk(int fd) : top_(fd) {}

  [[nodiscard]] int fd() const { return levels_.empty() ? top_ : here_.get(); }
  [[nodiscard]] bool at_top() const { return levels_.empty(); }

  /// False: it has gone, or cannot be entered.
  bool enter(const std::string& name) {
    auto below = open_subdirectory(fd(), name.c_str());
    if (!below) return false;
    here_ = below.take();
    levels_.push_back(name);
    return true;
  }

  /// To the parent; returns the name of what was left. `here` is invalid if even that fails, when the whole tree has
  /// gone.
  std::string leave() {
    std::string name = std::move(levels_.back());
    levels_.pop_back();
    here_.reset(levels_.empty() ? -1 : ::openat(here_.get(), "..", kOpenDirectory));
    return name;
  }

 private:
  int top_;
  UniqueFd here_;
  std::vector<std::string> levels_;
};

}  // namespace

bool is_cgroup2(int fd) {
  struct statfs status {};
  return ::fstatfs(fd, &status) == 0 && status.f_type == CGROUP2_SUPER_MAGIC;
}

Result<std::string> read_control(int fd, const char* file) {
  const UniqueFd control(::openat(fd, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!control.valid()) return last_error("open", file);
  std::string text;
  std::array<char, 16384> buffer;  // left as it is: filled by read
  for (;;) {
    const ssize_t count = ::read(control.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return last_error("read", file);
    if (count == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(count));
  }
}

Result<void> write_control(int fd, const char* file, std::string_view text) {
  const UniqueFd control(::openat(fd, file, O_WRONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!control.valid()) return last_error("open", file);
  if (::write(control.get(), text.data(), text.size()) < 0) return last_error("write", file);
  return {};
}

bool for_each_cgroup(int fd, std::size_t limit, const std::function<void(int fd)>& visit) {
  Walk walk(fd);
  std::vector<std::vector<std::string>> to_do;
  const auto arrive = [&] {
    visit(walk.fd());
    to_do.push_back(subdirectories(walk.fd(), limit));
    return --limit > 0;
  };
  bool within = arrive();
  while (!to_do.empty() && within) {
    if (to_do.back().empty()) {
      to_do.pop_back();
      if (!walk.at_top()) (void)walk.leave();
      continue;
    }
    const std::string name = std::move(to_do.back().back());
    to_do.back().pop_back();
    if (walk.enter(name)) within = arrive();
  }
  return within || to_do.empty();
}

Result<bool> remove_cgroups_below(int fd, std::size_t limit) {
  Walk walk(fd);
  for (std::size_t steps = 0; steps < 2 * limit; ++steps) {
    const auto below = subdirectories(walk.fd(), 1);
    if (!below.empty() && walk.enter(below.front())) continue;
    if (walk.at_top()) {
      if (below.empty()) return true;
      continue;  // it went while we looked
    }
    const std::string name = walk.leave();
    if (::unlinkat(walk.fd(), name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) return last_error("remove", name);
  }
  return false;
}

}  // namespace reapctl::sys
