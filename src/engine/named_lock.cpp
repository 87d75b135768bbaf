#include "engine/named_lock.hpp"

#include "sys/file_lock.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace reapctl::engine {
namespace {

constexpr char kLocksDirectory[] = "locks";

struct LockFile {
  sys::UniqueFd directory;
  sys::UniqueFd file;
};

sys::Result<LockFile> open_lock_file(const Registry& registry, const std::string& name) {
  const std::string path = registry.path() + "/" + kLocksDirectory + "/" + name;
  if (::mkdirat(registry.fd(), kLocksDirectory, 0700) != 0 && errno != EEXIST) return sys::last_error("make", path);
  sys::UniqueFd directory(::openat(registry.fd(), kLocksDirectory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory.valid()) return sys::last_error("open", path);
  // A registry in /tmp is aged: systemd-tmpfiles leaves alone what is in a directory that somebody has locked.
  (void)::flock(directory.get(), LOCK_SH | LOCK_NB);
  sys::UniqueFd file(
      ::openat(directory.get(), name.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600));
  if (!file.valid()) return sys::last_error("open", path);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) return sys::last_error("stat", path);
  if (!S_ISREG(status.st_mode)) return sys::Error{.code = EINVAL, .operation = "use as a lock", .subject = path};
  return LockFile{.directory = std::move(directory), .file = std::move(file)};
}

/// Whether the file was unlinked since it was opened: then to hold its lock keeps nobody away.
bool is_unlinked(int fd) {
  struct stat status {};
  return ::fstat(fd, &status) == 0 && status.st_nlink == 0;
}

}  // namespace

sys::Result<NamedLock> NamedLock::open(const RegistryPlaces& places, const std::string& name,
                                       std::vector<std::string>& warnings) {
  NamedLock lock;
  lock.places_ = places;
  lock.name_ = name;
  // The one for new runs is made if it is not there; from then on it is one of those that exist.
  const auto registry = Registry::open_for_writing(places, warnings);
  if (!registry) return registry.error();
  const auto opened = lock.open_places();
  if (!opened) return opened.error();
  if (lock.open_.empty()) return sys::Error{.code = ENOENT, .operation = "open", .subject = registry->path()};
  return lock;
}

/// Whether there was one that was not open yet.
sys::Result<bool> NamedLock::open_places() {
  std::vector<std::string> refused;
  auto registries = Registry::open_existing(places_, refused);
  if (!registries) return registries.error();
  // A registry that was refused is somebody else's: no run of ours can be in it.
  bool any = false;
  for (Registry& registry : *registries) {
    auto added = add(std::move(registry));
    if (!added) return added.error();
    any = any || *added;
  }
  return any;
}

sys::Result<bool> NamedLock::add(Registry registry) {
  const bool known = std::any_of(open_.begin(), open_.end(),
                                 [&](const Place& place) { return place.registry.path() == registry.path(); });
  if (known) return false;
  auto file = open_lock_file(registry, name_);
  if (!file) return file.error();
  open_.push_back(
      {.registry = std::move(registry), .directory = std::move(file->directory), .file = std::move(file->file)});
  return true;
}

sys::Result<bool> NamedLock::try_take() {
  for (;;) {
    for (const Place& place : open_) {
      const auto taken = sys::take_lock(place.file.get());
      if (taken) continue;
      release();
      if (taken.error().code == EAGAIN || taken.error().code == EACCES) return false;
      return taken.error();
    }
    std::erase_if(open_, [](const Place& place) { return is_unlinked(place.file.get()); });
    // Another registry may have been made since these were opened, and another run may have taken the lock there only.
    // So every run looks again after it has taken the lock: of two that do, one sees the other's.
    const auto more = open_places();
    if (!more) {
      release();
      return more.error();
    }
    if (open_.empty()) return sys::Error{.code = ENOENT, .operation = "keep open the lock", .subject = name_};
    if (!*more) return true;
  }
}

void NamedLock::release() {
  for (const Place& place : open_) sys::release_lock(place.file.get());
}

std::vector<std::string> NamedLock::signers() const {
  std::vector<std::string> ids;
  for (const Place& place : open_) {
    std::array<char, kRunIdLength> bytes;
    if (::pread(place.file.get(), bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) continue;
    std::string id(bytes.data(), bytes.size());
    if (is_run_id(id) && std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(std::move(id));
  }
  return ids;
}

sys::Result<void> NamedLock::sign(const std::string& run_id) const {
  const std::string line = run_id + "\n";
  for (const Place& place : open_) {
    // Over the same bytes, so few that a kill does not cut them in two.
    const ssize_t written = ::pwrite(place.file.get(), line.data(), line.size(), 0);
    if (written < 0) return sys::last_error("write", place.registry.path() + "/" + kLocksDirectory + "/" + name_);
    if (written != static_cast<ssize_t>(line.size())) {
      return sys::Error{.code = ENOSPC, .operation = "write", .subject = kLocksDirectory};
    }
  }
  return {};
}

const Registry* NamedLock::registry_of(const std::string& run_id) const {
  for (const Place& place : open_) {
    struct stat status {};
    if (::fstatat(place.registry.fd(), run_id.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) return &place.registry;
  }
  return nullptr;
}

std::vector<int> NamedLock::descriptors() const {
  std::vector<int> open;
  for (const Place& place : open_)
    open.insert(open.end(), {place.registry.fd(), place.directory.get(), place.file.get()});
  return open;
}

}  // namespace reapctl::engine
