#include "engine/registry.hpp"

#include "proc/host.hpp"
#include "sys/directory.hpp"
#include "sys/file_lock.hpp"
#include "sys/small_file.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <fcntl.h>
#include <span>
#include <sys/stat.h>
#include <unistd.h>

namespace reapctl::engine {
namespace {

sys::Error refused(const std::string& path, const std::string& why) {
  return {.code = 0, .operation = "use " + path + " as a registry: " + why, .subject = {}};
}

/// Nobody but its owner may put anything there.
sys::Result<uid_t> check_private(int fd, const std::string& path, std::optional<uid_t> owner) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return sys::last_error("stat", path);
  if (owner && status.st_uid != *owner) {
    return refused(path, "it belongs to user " + std::to_string(status.st_uid) + ", not to " + std::to_string(*owner));
  }
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) return refused(path, "others can write to it");
  return status.st_uid;
}

/// For our own registry, which may be a mount. In that of another user nothing is touched that is mounted there: the
/// user may serve it by a program (FUSE) that never answers.
sys::Result<sys::UniqueFd> open_own(int parent_fd, const std::string& name) {
  sys::UniqueFd fd(::openat(parent_fd, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) return sys::last_error("open", name);
  return fd;
}

/// The directory of all users. Made by root; if not root's, its owner could exchange what is in it.
sys::Result<sys::UniqueFd> open_system_place(const std::string& path, bool make) {
  if (make && ::geteuid() == 0 && ::mkdir(path.c_str(), 01777) == 0) (void)::chmod(path.c_str(), 01777);  // the umask
  sys::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) return sys::last_error("open", path);
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return sys::last_error("stat", path);
  if (status.st_uid != 0 && status.st_uid != ::geteuid()) return refused(path, "it is not root's");
  const bool open_to_all = (status.st_mode & (S_IWGRP | S_IWOTH)) != 0;
  if (open_to_all && (status.st_mode & S_ISVTX) == 0) return refused(path, "everybody can rename what is in it");
  return fd;
}

/// Why a place for new runs is not even worth a word: it does not exist and cannot be made by us.
bool cannot_be_had(const sys::Error& error) {
  return error.code == ENOENT || error.code == EROFS || error.code == EACCES;
}

/// For readers nothing else will do: in a place that cannot be looked into there may be runs.
bool is_absent(const sys::Error& error) {
  return error.code == ENOENT;
}

/// With a slash at its end, a link would be followed in spite of O_NOFOLLOW.
std::string without_slashes(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

std::string last_component(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

std::string uid_text() {
  return std::to_string(::geteuid());
}

std::optional<uid_t> parse_uid(std::string_view text) {
  uid_t uid = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), uid);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  if (text != std::to_string(uid)) return std::nullopt;  // "065534" is nobody's: reapctl does not write it
  return uid;
}

/// All names in an open directory.
sys::Result<std::vector<std::string>> names_in(int directory_fd, const std::string& path) {
  // A descriptor of its own, for the position in it is shared by all copies.
  const sys::UniqueFd fd(::openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return sys::last_error("read", path);
  std::vector<std::string> names;
  alignas(8) std::array<std::byte, 32768> buffer;  // left as it is: filled by getdents64
  for (;;) {
    const auto filled = sys::read_entries(fd.get(), buffer);
    if (!filled) return filled.error();
    if (*filled == 0) break;
    sys::EntryCursor cursor(std::span<const std::byte>(buffer).first(*filled));
    for (sys::DirectoryEntry entry; cursor.next(entry);) names.emplace_back(entry.name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::uint64_t namespace_inode(const proc::ProcFs& proc, const char* name) {
  const std::string link = proc.link(std::string("self/ns/") + name);  // "pid:[4026531836]", namespaces(7)
  const auto bracket = link.find('[');
  std::uint64_t inode = 0;
  if (bracket != std::string::npos) (void)std::from_chars(link.data() + bracket + 1, link.data() + link.size(), inode);
  return inode;
}

}  // namespace

sys::Result<Registry> Registry::open(int parent_fd, const std::string& name, std::string path,
                                     std::optional<uid_t> owner) {
  auto fd = owner ? open_own(parent_fd, name) : sys::open_subdirectory(parent_fd, name.c_str());
  if (!fd) {
    const int code = fd.error().code;
    // ELOOP, or ENOTDIR with O_DIRECTORY: somebody has put a link or a file there.
    if (code == ELOOP || code == ENOTDIR) return refused(path, "it is no directory, or a symbolic link");
    if (code == EXDEV) return refused(path, "something is mounted on it");
    return sys::Error{.code = code, .operation = "open", .subject = path};
  }
  const auto checked = check_private(fd->get(), path, owner);
  if (!checked) return checked.error();
  return Registry(std::move(path), fd.take(), *checked);
}

sys::Result<Registry> Registry::open_for_writing(const RegistryPlaces& places, std::vector<std::string>& warnings) {
  const auto make_and_open = [](int parent_fd, const std::string& name, const std::string& path) {
    if (::mkdirat(parent_fd, name.c_str(), 0700) != 0 && errno != EEXIST) {
      return sys::Result<Registry>(sys::last_error("make the registry", path));
    }
    return open(parent_fd, name, path, ::geteuid());
  };
  if (!places.chosen.empty()) {
    const std::string path = without_slashes(places.chosen);
    return make_and_open(AT_FDCWD, path, path);
  }
  if (const auto system = open_system_place(places.system, true)) {
    auto registry = make_and_open(system->get(), uid_text(), places.system + "/" + uid_text());
    if (registry) return registry;
    if (!cannot_be_had(registry.error())) warnings.push_back("cannot " + registry.error().message());
  } else if (!cannot_be_had(system.error())) {
    warnings.push_back("cannot " + system.error().message());
  }
  const std::string path = places.temporary + "-" + uid_text();
  return make_and_open(AT_FDCWD, path, path);
}

sys::Result<std::vector<Registry>> Registry::open_existing(const RegistryPlaces& places,
                                                           std::vector<std::string>& warnings) {
  std::vector<Registry> found;
  if (!places.chosen.empty()) {
    const std::string path = without_slashes(places.chosen);
    auto registry = open(AT_FDCWD, path, path, ::geteuid());
    if (registry) {
      found.push_back(registry.take());
    } else if (registry.error().code != ENOENT) {
      return registry.error();
    }
    return found;
  }
  const auto take = [&](sys::Result<Registry> registry) {
    if (registry) {
      found.push_back(registry.take());
    } else if (!is_absent(registry.error())) {
      warnings.push_back("cannot " + registry.error().message());
    }
  };
  if (const auto system = open_system_place(places.system, false)) {
    take(open(system->get(), uid_text(), places.system + "/" + uid_text(), ::geteuid()));
  } else if (!is_absent(system.error())) {
    warnings.push_back("cannot " + system.error().message());
  }
  const std::string path = places.temporary + "-" + uid_text();
  take(open(AT_FDCWD, path, path, ::geteuid()));
  return found;
}

std::vector<Registry> Registry::open_of_all_users(const RegistryPlaces& places, std::vector<std::string>& warnings) {
  std::vector<Registry> found;
  const auto take = [&](int parent_fd, const std::string& name, std::string path, const std::string& uid) {
    const auto named = parse_uid(uid);
    if (!named) return;
    const auto owner = *named == ::geteuid() ? named : std::nullopt;
    auto registry = open(parent_fd, name, std::move(path), owner);
    // The name promises whose it is. If a user plants one in another's name, it is refused.
    if (registry && registry->owner() != *named) {
      registry = refused(registry->path(), "it belongs to user " + std::to_string(registry->owner()));
    }
    if (registry) {
      found.push_back(registry.take());
    } else if (!is_absent(registry.error())) {
      warnings.push_back("cannot " + registry.error().message());
    }
  };
  if (const auto system = open_system_place(places.system, false)) {
    if (const auto names = names_in(system->get(), places.system)) {
      for (const std::string& name : *names) take(system->get(), name, places.system + "/" + name, name);
    }
  } else if (!is_absent(system.error())) {
    warnings.push_back("cannot " + system.error().message());
  }
  const std::string directory = places.temporary.substr(0, places.temporary.rfind('/') + 1);
  const std::string prefix = last_component(places.temporary) + "-";
  const sys::UniqueFd temporary(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!temporary.valid()) return found;
  if (const auto names = names_in(temporary.get(), directory)) {
    for (const std::string& name : *names) {
      if (name.starts_with(prefix)) take(temporary.get(), name, directory + name, name.substr(prefix.size()));
    }
  }
  return found;
}

bool Registry::is_same_as(const Registry& other) const {
  struct stat ours {};
  struct stat theirs {};
  return ::fstat(fd(), &ours) == 0 && ::fstat(other.fd(), &theirs) == 0 && ours.st_dev == theirs.st_dev &&
         ours.st_ino == theirs.st_ino;
}

sys::Result<std::vector<std::string>> Registry::run_ids() const {
  auto names = names_in(directory_.get(), path_);
  if (names) std::erase_if(*names, [](const std::string& name) { return !is_run_id(name); });
  return names;
}

bool is_run_id(std::string_view name) {
  return name.size() == kRunIdLength && name.find_first_not_of("0123456789ABCDEF") == std::string_view::npos;
}

sys::Result<sys::UniqueFd> open_run_directory(const Registry& registry, const std::string& run_id) {
  auto fd = sys::open_subdirectory(registry.fd(), run_id.c_str());
  if (!fd) return sys::Error{.code = fd.error().code, .operation = "open", .subject = registry.path() + "/" + run_id};
  struct stat status {};
  if (::fstat(fd->get(), &status) != 0) return sys::last_error("stat", run_id);
  if (status.st_uid != registry.owner()) return sys::Error{.code = EPERM, .operation = "trust", .subject = run_id};
  return fd;
}

namespace {

void look_at_lock(int directory_fd, RegistryEntry& entry) {
  const auto lock = sys::open_file(directory_fd, kLockFile, O_RDONLY | O_NONBLOCK);
  struct stat status {};
  if (!lock) {
    const sys::Error error{.code = lock.error().code, .operation = "open its lock", .subject = {}};
    entry.lock_problem = error.code == ELOOP ? "its lock is a symbolic link" : "cannot " + error.message();
  } else if (::fstat(lock->get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    entry.lock_problem = "its lock is no regular file";
  } else if (const auto locked = sys::is_locked(lock->get()); !locked) {
    entry.lock_problem = "cannot " + locked.error().message();
  } else {
    entry.lock = *locked ? core::LockState::held : core::LockState::free;
  }
}

}  // namespace

std::optional<RegistryEntry> read_entry(const Registry& registry, const std::string& run_id,
                                        const core::RecordCodec& codec) {
  RegistryEntry entry{
      .run_id = run_id, .path = registry.path() + "/" + run_id, .owner = registry.owner(), .record = {}, .problem = {}};
  const auto directory = open_run_directory(registry, run_id);
  if (!directory) {
    if (directory.error().code == ENOENT) return std::nullopt;
    entry.problem = directory.error().message();
    return entry;
  }
  struct stat status {};
  if (::fstat(directory->get(), &status) == 0) entry.inode = status.st_ino;
  // The lock first: if it is free now, then nobody was alive to change the record that is read next.
  look_at_lock(directory->get(), entry);
  const auto text = sys::read_small_file(directory->get(), kRecordFile, registry.owner(), core::kRecordLimit);
  if (!text) {
    entry.empty = text.error().code == ENOENT;
    // The directory may have gone with the record.
    if (entry.empty && ::fstatat(registry.fd(), run_id.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return std::nullopt;
    entry.problem = text.error().message();
    return entry;
  }
  entry.size = text->size();
  auto record = codec.decode(*text);
  if (!record) {
    entry.problem = record.error().message();
  } else if (record->run_id != run_id) {
    entry.problem = "it is the record of another run";
  } else {
    entry.record = record.take();
  }
  return entry;
}

Here read_here(const proc::ProcFs& proc) {
  return {.boot_id = proc::boot_id(proc),
          .pid_namespace = namespace_inode(proc, "pid"),
          .mount_namespace = namespace_inode(proc, "mnt")};
}

bool is_running(const proc::ProcFs& proc, const core::ProcessId& id) {
  const auto process = proc.stat(id.pid);
  return process && process->id == id && core::is_alive(*process);
}

namespace {

/// Whether a reapctl still does something. It has ended with its first thread, even if another thread hangs in the
/// kernel over a deletion. It has ended with SIGKILL as well: only its descriptors may still be open.
bool is_at_work(const proc::ProcFs& proc, const core::ProcessId& id) {
  const auto process = proc.stat(id.pid);
  return process && process->id == id && process->state != 'Z' && process->state != 'X' && !process->doomed;
}

}  // namespace

core::RunObservation observe(const proc::ProcFs& proc, const Here& here, const core::RunRecord& record,
                             core::LockState lock) {
  return {.boot_known = !record.boot_id.empty() && !here.boot_id.empty(),
          .same_boot = record.boot_id == here.boot_id,
          .same_pid_namespace = record.pid_namespace == here.pid_namespace,
          .lock = lock,
          .guard_alive = record.guard && is_at_work(proc, *record.guard),
          .supervisor_alive = is_at_work(proc, record.supervisor)};
}

}  // namespace reapctl::engine
