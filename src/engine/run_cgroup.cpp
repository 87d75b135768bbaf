#include "engine/run_cgroup.hpp"

#include "proc/own_cgroup.hpp"
#include "proc/parse.hpp"
#include "sys/cgroup.hpp"
#include "sys/pid_fd.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <fcntl.h>
#include <poll.h>
#include <set>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace reapctl::engine {
namespace {

constexpr int kNameDirectory = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
constexpr int kOpenDirectory = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

/// A look at more cgroups than this would take too long; then only is_populated() tells that there is somebody.
constexpr std::size_t kLookLimit = 1024;
/// How many are removed in one go, which takes a few milliseconds, and how many times that is done at most.
constexpr std::size_t kRemoveLimit = 128;
constexpr int kSliceLimit = 1000;
/// How long a process may take to leave the cgroup after it was seen to end.
constexpr core::Millis kLeaving{1000};

/// The number on the line "KEY NUMBER".
std::optional<std::int64_t> number_of(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    std::string_view line = proc::take_line(text);
    if (!key.empty()) {
      if (!line.starts_with(key) || line.size() <= key.size() || line[key.size()] != ' ') continue;
      line.remove_prefix(key.size() + 1);
    }
    std::int64_t number = 0;
    const auto [stop, error] = std::from_chars(line.data(), line.data() + line.size(), number);
    if (error != std::errc{} || stop != line.data() + line.size()) return std::nullopt;
    return number;
  }
  return std::nullopt;
}

std::optional<std::int64_t> figure(int fd, const char* file, std::string_view key) {
  const auto text = sys::read_control(fd, file);
  return text ? number_of(*text, key) : std::nullopt;
}

struct NamedPlace {
  sys::UniqueFd parent;
  std::string name;
};

/// The parent of the path on record, which must end in the name that the run gives.
sys::Result<NamedPlace> parent_of(const core::RunRecord& record) {
  if (!record.cgroup) return sys::Error{.code = ENOENT, .operation = "find a cgroup on record", .subject = {}};
  const std::string& path = record.cgroup->path;
  const auto slash = path.rfind('/');
  const std::string name = cgroup_name(record.run_id);
  if (slash == std::string::npos || path.substr(slash + 1) != name) {
    return sys::Error{.code = ESTALE, .operation = "trust", .subject = path};
  }
  const std::string above = path.substr(0, slash + 1);
  NamedPlace place{.parent = sys::UniqueFd(::open(above.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)), .name = name};
  if (!place.parent.valid()) return sys::last_error("open", above);
  if (!sys::is_cgroup2(place.parent.get())) {
    return sys::Error{.code = ESTALE, .operation = "find cgroup v2 at", .subject = above};
  }
  return place;
}

}  // namespace

std::string cgroup_name(const std::string& run_id) {
  return "reapctl-" + run_id;
}

sys::Result<CgroupGround> find_cgroup_ground(const proc::ProcFs& proc) {
  const auto directories = proc::own_cgroup_directories(proc);
  if (!directories) return directories.error();
  sys::Error error;
  for (const std::string& directory : *directories) {
    CgroupGround ground{.path = directory, .directory = sys::UniqueFd(::open(directory.c_str(), kNameDirectory))};
    if (!ground.directory.valid()) {
      error = sys::last_error("open", directory);
    } else if (!sys::is_cgroup2(ground.directory.get())) {
      error = sys::Error{.code = 0, .operation = "see cgroup v2, another mount hides it at", .subject = directory};
    } else if (::faccessat(ground.directory.get(), "cgroup.procs", W_OK, AT_EACCESS) != 0) {
      // To start a process in another cgroup one must be able to write this file of the nearest common one, which is
      // ours: cgroups(7).
      error = sys::last_error("write", directory + (directory.ends_with('/') ? "" : "/") + "cgroup.procs");
    } else {
      return ground;
    }
  }
  return error;
}

std::string cgroup_remedy(const sys::Error& error) {
  switch (error.code) {
    case EACCES:
    case EPERM:
      return "start it in a cgroup that is delegated to you, such as "
             "systemd-run --user --scope -p Delegate=yes reapctl run ...";
    case EROFS:
      return "mount the cgroup file system writable (docker: --privileged, or --cgroupns=private with a "
             "writable /sys/fs/cgroup)";
    case ENOSYS:
    case E2BIG: return "needs Linux 5.7 and a seccomp filter that lets clone3 through";
    case EAGAIN: return "raise cgroup.max.descendants or cgroup.max.depth above it";
    case EOPNOTSUPP:
    case EBUSY: return "start it in a cgroup that is neither threaded nor has controllers enabled for others below it";
    default: return "mount cgroup v2: mount -t cgroup2 none /sys/fs/cgroup";
  }
}

core::CgroupOnRecord planned_cgroup(const CgroupGround& ground, const std::string& run_id) {
  return {.path = ground.path + (ground.path.ends_with('/') ? "" : "/") + cgroup_name(run_id), .inode = {}};
}

sys::Result<RunCgroup> RunCgroup::make(CgroupGround ground, const std::string& run_id) {
  const std::string name = cgroup_name(run_id);
  std::string path = planned_cgroup(ground, run_id).path;
  if (::mkdirat(ground.directory.get(), name.c_str(), 0755) != 0) return sys::last_error("create", path);
  sys::UniqueFd directory(::openat(ground.directory.get(), name.c_str(), kOpenDirectory));
  struct stat status {};
  if (directory.valid() && ::fstat(directory.get(), &status) == 0) {
    return RunCgroup(std::move(path), name, std::move(ground.directory), std::move(directory), status.st_ino);
  }
  const sys::Error error = sys::last_error("open", path);
  (void)::unlinkat(ground.directory.get(), name.c_str(), AT_REMOVEDIR);  // the first error is the one to tell
  return error;
}

sys::Result<RunCgroup> RunCgroup::open_recorded(const core::RunRecord& record) {
  auto place = parent_of(record);
  if (!place) return place.error();
  const std::string& path = record.cgroup->path;
  sys::UniqueFd directory(::openat(place->parent.get(), place->name.c_str(), kOpenDirectory));
  if (!directory.valid()) return sys::last_error("open", path);
  struct stat status {};
  if (::fstat(directory.get(), &status) != 0) return sys::last_error("stat", path);
  // The inode of a cgroup is its id, which is not used again before the next boot.
  if (!sys::is_cgroup2(directory.get()) || status.st_uid != record.uid || status.st_ino != record.cgroup->inode) {
    return sys::Error{.code = ESTALE, .operation = "trust", .subject = path};
  }
  return RunCgroup(path, place->name, std::move(place->parent), std::move(directory), status.st_ino);
}

RunCgroup::Look RunCgroup::look() const {
  Look found;
  const bool seen_all = sys::for_each_cgroup(directory_.get(), kLookLimit, [&found](int fd) {
    auto text = sys::read_control(fd, "cgroup.procs");
    if (!text) {
      // Threaded: its processes are listed further up. Gone: it has none. Anything else hides some.
      const int code = text.error().code;
      found.complete = found.complete && (code == EOPNOTSUPP || code == ENOENT || code == ENODEV);
      return;
    }
    std::replace(text->begin(), text->end(), '\n', ' ');
    const std::string_view all = *text;
    for (std::size_t at = 0; at < all.size();) {
      const std::size_t end = std::min(all.find(' ', at), all.size());
      pid_t pid = 0;  // and 0 is what a process of another PID namespace is shown as
      (void)std::from_chars(all.data() + at, all.data() + end, pid);
      if (pid > 0) found.members.push_back(pid);
      found.complete = found.complete && pid > 0;
      at = end + 1;
    }
  });
  found.complete = found.complete && seen_all;
  return found;
}

bool RunCgroup::is_populated() const {
  if (gone_) return false;
  if (events_.valid()) {  // read through the descriptor that is watched: that is what makes it quiet again
    char text[256];
    const ssize_t length = ::pread(events_.get(), text, sizeof text, 0);
    return length > 0 && number_of({text, static_cast<std::size_t>(length)}, "populated") == 1;
  }
  return figure(directory_.get(), "cgroup.events", "populated") == 1;
}

int RunCgroup::watch() {
  if (!events_.valid()) events_.reset(::openat(directory_.get(), "cgroup.events", O_RDONLY | O_CLOEXEC));
  return events_.get();
}

void RunCgroup::await_empty(core::TimePoint deadline) {
  deadline = std::min(deadline, core::Clock::now() + kLeaving);
  pollfd changed{.fd = watch(), .events = POLLPRI, .revents = 0};
  while (is_populated()) {
    const auto left = std::chrono::ceil<core::Millis>(deadline - core::Clock::now());
    if (left.count() <= 0 || ::poll(&changed, 1, static_cast<int>(left.count())) == 0) return;
  }
}

void RunCgroup::kill() const {
  const auto killed = sys::write_control(directory_.get(), "cgroup.kill", "1");
  if (!killed && killed.error().code == ENOENT) kill_frozen();
}

/// A frozen process does not fork, and SIGKILL ends it all the same. A process that arrives later is found by the next
/// call.
void RunCgroup::kill_frozen() const {
  (void)sys::write_control(directory_.get(), "cgroup.freeze", "1");
  std::vector<std::pair<pid_t, sys::UniqueFd>> held;
  for (const pid_t pid : members()) {
    if (auto pid_fd = sys::open_pid_fd(pid)) held.emplace_back(pid, pid_fd.take());
  }
  // First the pidfd, then the look: if the pid is a member now, it is the process of the descriptor, or that one has
  // ended.
  const auto now = members();
  const std::set<pid_t> still(now.begin(), now.end());
  for (const auto& [pid, pid_fd] : held) {
    if (still.contains(pid)) (void)sys::send_signal(pid_fd.get(), SIGKILL);
  }
  (void)sys::write_control(directory_.get(), "cgroup.freeze", "0");
}

void RunCgroup::evict(const proc::ProcFs& proc, pid_t pid) const {
  const auto text = proc.read(std::to_string(pid) + "/cgroup");
  const auto path = text ? proc::cgroup2_path(*text) : std::nullopt;
  if (!path || (*path + "/").find("/" + name_ + "/") == std::string::npos) return;
  (void)sys::write_control(parent_.get(), "cgroup.procs", std::to_string(pid));  // fails if it is gone, or not ours
}

void RunCgroup::thaw() const {
  (void)sys::for_each_cgroup(directory_.get(), kLookLimit, [](int fd) {
    const auto frozen = sys::read_control(fd, "cgroup.freeze");
    if (frozen && frozen->starts_with('1')) (void)sys::write_control(fd, "cgroup.freeze", "0");
  });
}

sys::Result<bool> RunCgroup::remove_some() {
  if (gone_) return true;
  if (::unlinkat(parent_.get(), name_.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
    if (errno != EBUSY) return sys::last_error("remove", path_);
    if (is_populated() || ++slices_ > kSliceLimit) {
      return sys::Error{.code = EBUSY, .operation = "remove", .subject = path_};
    }
    const auto removed = sys::remove_cgroups_below(directory_.get(), kRemoveLimit);
    if (!removed && removed.error().code != EBUSY) return removed.error();
    return false;
  }
  gone_ = true;
  directory_.reset();
  events_.reset();
  return true;
}

core::CgroupReport RunCgroup::figures() const {
  return {.path = path_,
          .memory_peak_bytes = figure(directory_.get(), "memory.peak", {}),
          .cpu_usage_us = figure(directory_.get(), "cpu.stat", "usage_usec"),
          .oom_kills = figure(directory_.get(), "memory.events", "oom_kill")};
}

sys::Result<void> remove_recorded_cgroup(const core::RunRecord& record, core::TimePoint deadline) {
  if (record.cgroup && !record.cgroup->inode) {  // about to be made when its reapctl died: nobody was ever in it
    const auto place = parent_of(record);
    if (!place) return place.error();
    if (::unlinkat(place->parent.get(), place->name.c_str(), AT_REMOVEDIR) == 0) return {};
    return sys::last_error("remove", record.cgroup->path);
  }
  auto cgroup = RunCgroup::open_recorded(record);
  if (!cgroup) return cgroup.error();
  cgroup->await_empty(deadline);
  while (core::Clock::now() < deadline) {
    const auto removed = cgroup->remove_some();
    if (!removed) return removed.error();
    if (*removed) return {};
  }
  return sys::Error{.code = ETIMEDOUT, .operation = "remove", .subject = record.cgroup->path};
}

}  // namespace reapctl::engine
