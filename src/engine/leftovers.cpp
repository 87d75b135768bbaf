#include "engine/leftovers.hpp"

#include "core/removal_display.hpp"
#include "engine/remover.hpp"
#include "engine/run_cgroup.hpp"
#include "sys/directory.hpp"
#include "sys/unique_fd.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <filesystem>
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

DirectoryIdentity identity_of(const core::WorkdirOnRecord::Identity& recorded) {
  return {.device = recorded.device,
          .inode = recorded.inode,
          .birth_time_ns = recorded.birth_time_ns,
          .owner = recorded.owner};
}

class LeftoverRemoval {
 public:
  using Progress = std::function<void(std::string_view line)>;

  LeftoverRemoval(const core::RunRecord& record, bool same_mounts, core::TimePoint deadline, const Progress& progress)
      : record_(record), same_mounts_(same_mounts), deadline_(deadline), progress_(progress) {}

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
      if (!same_mounts_) remark(path + " cannot be seen from this mount namespace");
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
      if (place.error().code != ENOENT) problem("cannot " + place.error().message());
      return;
    }
    if (place->name != "reapctl-" + record_.run_id) {
      remark(workdir.path + " is not named after the run: left alone");
      return;
    }
    struct stat status {};
    if (::fstatat(place->parent.get(), place->name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno != ENOENT) {
        problem("cannot " + sys::last_error("look at", workdir.path).message());
      } else if (!same_mounts_ && workdir.identity) {
        remark(workdir.path + " cannot be seen from this mount namespace");
      }
      return;
    }
    if (!workdir.identity) {
      remove_empty(*place, workdir.path);
    } else {
      remove_tree(place.take(), workdir);
    }
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
    auto job = RemovalJob::start(std::move(place.parent), place.name, identity_of(*workdir.identity));
    if (!job) {
      problem("cannot " + job.error().message());
      return;
    }
    const bool ended = wait_for(*job);
    const RemovalStats stats = ended ? job->take_result() : job->abandon();
    if (!stats.errors.empty() && stats.errors.front().errno_name == "ESTALE") {
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
            (stats.errors.empty() ? "" : ": " + stats.errors.front().path + " " + stats.errors.front().errno_name));
  }

  /// False when the deadline comes first.
  [[nodiscard]] bool wait_for(const RemovalJob& job) const {
    pollfd done{.fd = job.completion_fd(), .events = POLLIN, .revents = 0};
    core::TimePoint now = core::Clock::now();
    core::RemovalDisplay display(now);
    do {
      const auto left = std::chrono::ceil<core::Millis>(std::min(deadline_, display.next()) - now);
      (void)::poll(&done, 1, static_cast<int>(std::max(left, core::Millis(0)).count()));
      now = core::Clock::now();
      if (const auto line = display.line(now, job.counts().files)) progress_(*line);
    } while (done.revents == 0 && now < deadline_);
    progress_("");
    return done.revents != 0;
  }

  void remove(const core::RemoveOnRecord& recorded) {
    const auto place = open_parent(recorded.path);
    struct stat parent {};
    if (!place || ::fstat(place->parent.get(), &parent) != 0) return;  // the directory is gone, and the file with it
    if (parent.st_dev != recorded.parent_device || parent.st_ino != recorded.parent_inode) {
      remark(recorded.path + " is in another directory now: left alone");
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
  bool same_mounts_;
  core::TimePoint deadline_;
  const Progress& progress_;
  LeftoversRemoved result_;
};

}  // namespace

LeftoversRemoved remove_leftovers(const core::RunRecord& record, bool same_mounts, core::TimePoint deadline,
                                  const std::function<void(std::string_view line)>& progress) {
  return LeftoverRemoval(record, same_mounts, deadline, progress).run();
}

WorkdirSize measure_workdir(const core::RunRecord& record) {
  WorkdirSize size;
  if (!record.workdir || record.workdir->keep) return size;
  const auto place = open_parent(record.workdir->path);
  if (!place || place->name != "reapctl-" + record.run_id) return size;
  const auto directory = sys::open_subdirectory(place->parent.get(), place->name.c_str());
  if (!directory) return size;
  const auto identity = sys::directory_identity(directory->get());
  if (record.workdir->identity && (!identity || *identity != identity_of(*record.workdir->identity))) return size;
  size.there = true;
  namespace fs = std::filesystem;
  std::error_code failure;
  const fs::path root = "/proc/self/fd/" + std::to_string(directory->get());
  fs::recursive_directory_iterator entry(root / "", fs::directory_options::skip_permission_denied, failure);
  for (; !failure && entry != fs::recursive_directory_iterator(); entry.increment(failure)) {
    struct stat status {};
    if (::lstat(entry->path().c_str(), &status) != 0) continue;
    if (!S_ISDIR(status.st_mode)) ++size.files;
    size.bytes += std::int64_t{status.st_blocks} * 512;
  }
  return size;
}

}  // namespace reapctl::engine
