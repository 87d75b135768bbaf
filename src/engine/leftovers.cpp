#include "engine/leftovers.hpp"

#include "core/removal_display.hpp"
#include "core/report.hpp"
#include "engine/remover.hpp"
#include "engine/run_cgroup.hpp"
#include "engine/workdir.hpp"
#include "proc/host.hpp"
#include "sys/directory.hpp"
#include "sys/unique_fd.hpp"
#include "sys/unix_socket.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <filesystem>
#include <map>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace reapctl::engine {
namespace {

struct Place {
  sys::UniqueFd parent;
  std::string name;
};

sys::Result<Place> open_parent(const std::string& path) {
  const auto slash = path.rfind('/');
  const std::string parent = path.substr(0, slash + 1);
  Place place{.parent = sys::UniqueFd(::open(parent.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)),
              .name = path.substr(slash + 1)};
  if (!place.parent.valid()) return sys::last_error("open", parent);
  return place;
}

/// Which directory must be at `place`. Numbers of devices are given out anew with each boot (btrfs, overlayfs, NFS, and
/// disks as they are found), so of another boot's directory all the rest has to agree.
DirectoryIdentity expected_at(const Place& place, const core::WorkdirOnRecord::Identity& recorded, bool same_boot) {
  DirectoryIdentity expected{.device = recorded.device,
                             .inode = recorded.inode,
                             .birth_time_ns = recorded.birth_time_ns,
                             .owner = recorded.owner};
  if (same_boot) return expected;
  const auto named = sys::name_subdirectory(place.parent.get(), place.name.c_str());
  const auto there = named ? sys::directory_identity(named->get()) : named.error();
  if (there) expected.device = there->device;
  return expected;
}

bool is_same_path(const core::RemoveOnRecord& one, const core::RemoveOnRecord& other) {
  return one.parent_device == other.parent_device && one.parent_inode == other.parent_inode &&
         one.path.substr(one.path.rfind('/')) == other.path.substr(other.path.rfind('/'));
}

/// Where the file system knows no birth times, the last change has to do, which is never earlier.
bool is_of_this_boot(const Place& place) {
  struct statx status {};
  constexpr int kFlags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;
  if (::statx(place.parent.get(), place.name.c_str(), kFlags, STATX_BTIME | STATX_CTIME, &status) != 0) return false;
  const bool has_birth = (status.stx_mask & STATX_BTIME) != 0;
  const std::chrono::seconds born(has_birth ? status.stx_btime.tv_sec : status.stx_ctime.tv_sec);
  return born > std::chrono::system_clock::now().time_since_epoch() - proc::since_boot();
}

/// As why_path_stays: `place` is what was opened, so that what was looked at is what is unlinked.
std::string why_stays(const Place& place, const core::RemoveOnRecord& path, const LeftoverScope& scope) {
  struct stat parent {};
  if (::fstat(place.parent.get(), &parent) != 0) return "cannot be looked at";
  if (parent.st_dev != path.parent_device || parent.st_ino != path.parent_inode) return "is in another directory now";
  const bool claimed = std::any_of(scope.claimed.begin(), scope.claimed.end(),
                                   [&](const core::RemoveOnRecord& other) { return is_same_path(path, other); });
  if (claimed) return "is named by another run, too";
  if (sys::is_bound_socket(place.parent.get(), place.name.c_str())) return "is a socket in use";
  if (!scope.same_boot && is_of_this_boot(place)) return "is younger than the boot that the run was of";
  return {};
}

class LeftoverRemoval {
 public:
  using Progress = std::function<void(std::string_view line)>;

  LeftoverRemoval(const core::RunRecord& record, const LeftoverScope& scope, core::TimePoint deadline,
                  const Progress& progress)
      : record_(record), scope_(scope), deadline_(deadline), progress_(progress) {}

  LeftoversRemoved run() {
    if (record_.cgroup) cgroup(record_.cgroup->path);
    if (record_.workdir && !record_.workdir->keep) workdir(*record_.workdir);
    for (const core::RemoveOnRecord& path : record_.remove) remove(path);
    return std::move(result_);
  }

 private:
  void cgroup(const std::string& path) {
    const auto removed = remove_recorded_cgroup(record_, deadline_);
    if (removed) {
      result_.items.push_back({.kind = "cgroup", .path = path, .run_id = record_.run_id, .files = 0, .bytes = 0});
    } else if (removed.error().code == ENOENT) {
      // With its boot it has ended anyway.
      if (!scope_.same_mounts && scope_.same_boot) remark(path + " cannot be seen from this mount namespace");
    } else if (removed.error().code == ESTALE) {
      remark(path + " is not the cgroup of the run: left alone");
    } else {
      problem(removed.error().code == EBUSY ? "somebody is left in the cgroup " + path
                                            : "cannot " + removed.error().message());
    }
  }

  void workdir(const core::WorkdirOnRecord& workdir) {
    auto place = open_parent(workdir.path);
    if (!place) {
      if (place.error().code != ENOENT) return problem("cannot " + place.error().message());
      return unseen(workdir);
    }
    if (place->name != workdir_name(record_.run_id)) {
      remark(workdir.path + " is not named after the run: left alone");
      return;
    }
    struct stat status {};
    if (::fstatat(place->parent.get(), place->name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno != ENOENT) {
        problem("cannot " + sys::last_error("look at", workdir.path).message());
      } else {
        unseen(workdir);
      }
      return;
    }
    if (!workdir.identity) {
      remove_empty(*place, workdir.path);
    } else {
      remove_tree(place.take(), workdir);
    }
  }

  /// It is not there. In another mount namespace it may be, and nobody would ever know of it without the record.
  void unseen(const core::WorkdirOnRecord& workdir) {
    if (scope_.same_mounts || !scope_.same_boot || !workdir.identity) return;
    if (scope_.insist) return remark(workdir.path + " cannot be seen from this mount namespace: given up");
    problem(workdir.path + " cannot be seen from this mount namespace; if that of the run is gone, reapctl sweep " +
            record_.run_id + " clears the record away");
  }

  /// Made, but its identity was not yet on record: then nothing ran that could have put anything into it.
  void remove_empty(const Place& place, const std::string& path) {
    if (::unlinkat(place.parent.get(), place.name.c_str(), AT_REMOVEDIR) == 0) {
      result_.items.push_back({.kind = "workdir", .path = path, .run_id = record_.run_id, .files = 0, .bytes = 0});
    } else if (errno != ENOENT) {
      problem("cannot " + sys::last_error("remove", path).message());
    }
  }

  void remove_tree(Place place, const core::WorkdirOnRecord& workdir) {
    const DirectoryIdentity expected = expected_at(place, *workdir.identity, scope_.same_boot);
    auto job =
        RemovalJob::start({.paths = {}, .parent = std::move(place.parent), .name = place.name, .expected = expected});
    if (!job) {
      problem("cannot " + job.error().message());
      return;
    }
    const bool ended = wait_for(*job);
    const RemovalStats stats = ended ? job->take_result() : job->abandon();
    // Of the directory itself; a file server says the same of what it has forgotten inside.
    if (!stats.errors.empty() && stats.errors.front().errno_name == "ESTALE" &&
        stats.errors.front().path == workdir_name(record_.run_id)) {
      remark(workdir.path + " is another directory now: left alone");
      return;
    }
    if (stats.counts.directories > 0 || stats.counts.files > 0) {
      result_.items.push_back({.kind = "workdir",
                               .path = workdir.path,
                               .run_id = record_.run_id,
                               .files = stats.counts.files,
                               .bytes = stats.counts.bytes});
    }
    if (stats.complete) return;
    problem(workdir.path + (ended ? " could not be deleted completely" : " took too long to delete") +
            first_error(stats));
  }

  static std::string first_error(const RemovalStats& stats) {
    if (stats.errors.empty()) return "";
    const std::int64_t others = stats.errors_total - 1;
    return ": " + core::why_not_deleted(stats.errors.front()) +
           (others > 0 ? ", and " + std::to_string(others) + " more" : "");
  }

  /// False when the deadline comes first.
  [[nodiscard]] bool wait_for(RemovalJob& job) const {
    pollfd done{.fd = job.completion_fd(), .events = POLLIN, .revents = 0};
    core::TimePoint now = core::Clock::now();
    core::RemovalDisplay display(now);
    bool ended = false;
    do {
      const auto left = std::chrono::ceil<core::Millis>(std::min(deadline_, display.next()) - now);
      const int ready = ::poll(&done, 1, static_cast<int>(std::max(left, core::Millis(0)).count()));
      ended = ready > 0 && job.ended();
      now = core::Clock::now();
      if (const auto line = display.line(now, job.counts().files)) progress_(*line);
    } while (!ended && now < deadline_);
    progress_("");
    return ended;
  }

  void remove(const core::RemoveOnRecord& recorded) {
    const auto place = open_parent(recorded.path);
    if (!place) return;  // the directory is gone, and the file with it
    if (const std::string reason = why_stays(*place, recorded, scope_); !reason.empty()) {
      remark(recorded.path + " " + reason + ": left alone");
    } else if (::unlinkat(place->parent.get(), place->name.c_str(), 0) == 0) {
      result_.items.push_back(
          {.kind = "path", .path = recorded.path, .run_id = record_.run_id, .files = 1, .bytes = 0});
    } else if (errno != ENOENT) {
      remark("--remove: cannot " + sys::last_error("unlink", recorded.path).message());
    }
  }

  void problem(std::string text) {
    if (result_.problem.empty()) result_.problem = std::move(text);
  }
  void remark(std::string text) { result_.remarks.push_back(std::move(text)); }

  const core::RunRecord& record_;
  const LeftoverScope& scope_;
  core::TimePoint deadline_;
  const Progress& progress_;
  LeftoversRemoved result_;
};

}  // namespace

LeftoversRemoved remove_leftovers(const core::RunRecord& record, const LeftoverScope& scope, core::TimePoint deadline,
                                  const std::function<void(std::string_view line)>& progress) {
  return LeftoverRemoval(record, scope, deadline, progress).run();
}

std::string why_path_stays(const core::RemoveOnRecord& path, const LeftoverScope& scope) {
  const auto place = open_parent(path.path);
  return place ? why_stays(*place, path, scope) : std::string();
}

WorkdirSize measure_workdir(const core::RunRecord& record, bool same_boot) {
  WorkdirSize size;
  if (!record.workdir || record.workdir->keep) return size;
  const auto place = open_parent(record.workdir->path);
  if (!place || place->name != workdir_name(record.run_id)) return size;
  const auto directory = sys::open_subdirectory(place->parent.get(), place->name.c_str());
  if (!directory) return size;
  const auto identity = sys::directory_identity(directory->get());
  const auto& recorded = record.workdir->identity;
  if (recorded && (!identity || *identity != expected_at(*place, *recorded, same_boot))) return size;
  size.there = true;
  namespace fs = std::filesystem;
  constexpr int kMostLevels = 64;  // each holds a descriptor, a buffer and its path
  std::error_code failure;
  std::map<std::uint64_t, nlink_t> names_seen;  // of files with several: the blocks go with the last one
  const auto add = [&](const struct stat& status) {
    if (S_ISDIR(status.st_mode) || status.st_nlink == 1 || ++names_seen[status.st_ino] == status.st_nlink) {
      size.bytes += std::int64_t{status.st_blocks} * 512;
    }
  };
  struct stat status {};
  if (::fstat(directory->get(), &status) == 0) add(status);
  const fs::path root = "/proc/self/fd/" + std::to_string(directory->get());
  fs::recursive_directory_iterator entry(root / "", fs::directory_options::skip_permission_denied, failure);
  for (; !failure && entry != fs::recursive_directory_iterator(); entry.increment(failure)) {
    if (entry.depth() >= kMostLevels) entry.disable_recursion_pending();
    if (::lstat(entry->path().c_str(), &status) != 0) continue;
    if (!S_ISDIR(status.st_mode)) ++size.files;
    add(status);
  }
  return size;
}

}  // namespace reapctl::engine
