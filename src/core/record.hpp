#pragma once

#include "core/ladder.hpp"
#include "core/process.hpp"
#include "core/report.hpp"
#include "core/time.hpp"
#include "sys/result.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

/// What is on record of a run: all that is needed to clean up after it when its reapctl is dead.
namespace reapctl::core {

enum class RecordState {
  starting,  ///< the command does not run yet; there may be a process that is about to become it
  running,
  stopping,
  released,  ///< --leftovers leave: reapctl has ended, and what is left of the run is never swept
};

/// The main command. Its group and session help to judge processes that cannot be looked into.
struct MainOnRecord {
  ProcessId id;
  pid_t pgid = 0;
  pid_t sid = 0;
};

struct WorkdirOnRecord {
  std::string path;
  bool keep = false;  ///< --keep-workdir: a failed run keeps it, and a killed one has failed
  /// Which directory it is; nullopt: it was about to be made, and if it is there it is empty.
  struct Identity {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::int64_t birth_time_ns = 0;
    uid_t owner = 0;
  };
  std::optional<Identity> identity;
};

/// A path of --remove. It is this run's only as long as its directory is the one it was then.
struct RemoveOnRecord {
  std::string path;
  std::uint64_t parent_device = 0;
  std::uint64_t parent_inode = 0;
};

/// The run's own cgroup, version 2. What dies with a boot needs no more than an inode: it is the cgroup's id, and not
/// used twice.
struct CgroupOnRecord {
  std::string path;                    ///< of the directory
  std::optional<std::uint64_t> inode;  ///< nullopt: it was about to be made, and if it is there nobody is in it
};

struct RunRecord {
  std::string run_id;
  std::vector<std::string> enclosing;  ///< ids of the runs in which this one was started
  std::string name;
  std::vector<std::string> argv;  ///< as reports may show it
  uid_t uid = 0;
  std::string boot_id;
  std::uint64_t pid_namespace = 0;  ///< inode of /proc/self/ns/pid: pids mean nothing in another one
  std::uint64_t mount_namespace = 0;
  std::optional<ProcessId> guard;
  ProcessId supervisor;
  RecordState state = RecordState::starting;
  std::optional<MainOnRecord> main;
  std::vector<ProcessId> leftovers;  ///< some that have lost their parents, or outlived the main command
  int stop_signal = 0;               ///< what asks its reapctl to stop (--stop-on); 0 for none
  std::optional<CgroupOnRecord> cgroup;
  std::optional<WorkdirOnRecord> workdir;
  std::vector<RemoveOnRecord> remove;
  std::string lock_name;
  Ladder ladder;
  std::optional<Origin> origin;  ///< nullopt until it was looked up, right after the start
  WallTime started_at;
};

/// All processes that the record names.
[[nodiscard]] std::vector<ProcessId> recorded_processes(const RunRecord& record);

/// A record as text. The command must be on record before it runs, and its identity is known only once it exists. So
/// the new process itself writes that down, over the bytes from `main_offset` on, before it becomes the command.
struct EncodedRecord {
  std::string text;
  std::size_t main_offset = 0;
  std::size_t main_size = 0;
};

/// How records are written and read; report::record_codec() is the one there is. Plain functions, because one of them
/// runs between clone and exec.
struct RecordCodec {
  EncodedRecord (*encode)(const RunRecord& record);
  /// Fills all of `slot`. Allocates nothing and takes no lock.
  void (*fill_main)(std::span<char> slot, const MainOnRecord& main);
  /// Errors, in words: torn, of a newer schema, not a record.
  sys::Result<RunRecord> (*decode)(std::string_view text);
};

/// How many entries the lists of a record have at most. The writer cuts off what is longer; the reader refuses it, for
/// it may be another user's record.
inline constexpr std::size_t kArgumentsOnRecord = 128;
inline constexpr std::size_t kEnclosingOnRecord = 1024;
inline constexpr std::size_t kLeftoversOnRecord = 1024;

/// In bytes. A file that is longer is no record.
inline constexpr std::size_t kRecordLimit = std::size_t{256} << 10U;

}  // namespace reapctl::core
