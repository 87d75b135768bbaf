#pragma once

#include "core/record.hpp"
#include "core/report.hpp"
#include "core/time.hpp"
#include "proc/proc_fs.hpp"
#include "sys/result.hpp"
#include "sys/unique_fd.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

/// A control group (version 2) of a run's own: whatever the command starts is born in it, and one write kills it all.
namespace reapctl::engine {

/// The cgroup in which this process is, as a place for a run's own: nothing was made yet.
struct CgroupGround {
  std::string path;  ///< absolute, of the directory
  sys::UniqueFd directory;
};

/// Looks whether a cgroup can be made below our own, as far as that can be told without making one. Errors say why not:
/// no cgroup v2, EACCES (it is not delegated to us), EROFS.
[[nodiscard]] sys::Result<CgroupGround> find_cgroup_ground(const proc::ProcFs& proc);

/// What would make possible what failed with this error, for people.
[[nodiscard]] std::string cgroup_remedy(const sys::Error& error);

/// "reapctl-<run id>"
[[nodiscard]] std::string cgroup_name(const std::string& run_id);

/// What is on record before the cgroup is made.
[[nodiscard]] core::CgroupOnRecord planned_cgroup(const CgroupGround& ground, const std::string& run_id);

class RunCgroup {
 public:
  /// Makes it. Errors: those of mkdir(2), cgroups(7).
  [[nodiscard]] static sys::Result<RunCgroup> make(CgroupGround ground, const std::string& run_id);

  /// Opens the one that is on record, if it is provably that: by its name, inode, file system and owner. Errors:
  /// ENOENT: there is none; ESTALE: something else is there.
  [[nodiscard]] static sys::Result<RunCgroup> open_recorded(const core::RunRecord& record);

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::uint64_t inode() const { return inode_; }
  [[nodiscard]] int fd() const { return directory_.get(); }
  /// What must stay open while the run lasts.
  [[nodiscard]] std::vector<int> descriptors() const { return {parent_.get(), directory_.get(), events_.get()}; }

  /// The processes in it and below, as long as they are no zombies. A pid may be reused as soon as this has returned.
  [[nodiscard]] std::vector<pid_t> members() const { return look().members; }

  struct Look {
    std::vector<pid_t> members;
    bool complete = true;  ///< false: there may be others in it, such as processes of another PID namespace
  };
  [[nodiscard]] Look look() const;

  /// Whether anybody lives in it or below. A read that fails counts as no, for then it has gone.
  [[nodiscard]] bool is_populated() const;

  /// A descriptor that reports EPOLLPRI when is_populated() may have changed; -1: there is none.
  [[nodiscard]] int watch();
  [[nodiscard]] bool is_watched() const { return events_.valid(); }

  /// SIGKILL to every process in it and below, and to what these fork meanwhile. Before Linux 5.14, which has no
  /// cgroup.kill: freezes, kills one by one, and thaws.
  void kill() const;

  /// A frozen process hears no signal: thaws what the command has frozen of itself.
  void thaw() const;

  /// Waits until nobody lives in it, a second at most: a process that has just ended may still be on its way out.
  void await_empty(core::TimePoint deadline);

  /// If the process is in it, moves it out, into the parent. For reapctl itself, which a command that runs as root may
  /// have put there.
  void evict(const proc::ProcFs& proc, pid_t pid) const;

  /// Removes the cgroups that the command made and then this one, a part of the work at a time: false if there is more
  /// to do. Errors: EBUSY: somebody lives in it; after an error call it no more.
  [[nodiscard]] sys::Result<bool> remove_some();
  [[nodiscard]] bool is_gone() const { return gone_; }

  /// What its controllers have counted so far.
  [[nodiscard]] core::CgroupReport figures() const;

 private:
  RunCgroup(std::string path, std::string name, sys::UniqueFd parent, sys::UniqueFd directory, std::uint64_t inode)
      : path_(std::move(path)),
        name_(std::move(name)),
        parent_(std::move(parent)),
        directory_(std::move(directory)),
        inode_(inode) {}
  void kill_frozen() const;

  std::string path_;
  std::string name_;
  sys::UniqueFd parent_;
  sys::UniqueFd directory_;
  sys::UniqueFd events_;
  std::uint64_t inode_;
  int slices_ = 0;
  bool gone_ = false;
};

/// Removes the cgroup that is on record, when nobody of the run is left. Gives up at `deadline`. Errors: ENOENT: there
/// is none; ESTALE: something else is there; EBUSY: somebody lives in it; EACCES, …
[[nodiscard]] sys::Result<void> remove_recorded_cgroup(const core::RunRecord& record, core::TimePoint deadline);

}  // namespace reapctl::engine
