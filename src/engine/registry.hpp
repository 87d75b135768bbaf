#pragma once

#include "core/record.hpp"
#include "core/verdict.hpp"
#include "proc/proc_fs.hpp"
#include "sys/result.hpp"
#include "sys/unique_fd.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

/// The directory in which every run has one of its own, with a lock and a record. It may lie where others can write,
/// and they may have planted something there. So no name is believed: what was opened is looked at.
namespace reapctl::engine {

/// Where registries are. Tests have theirs elsewhere.
struct RegistryPlaces {
  std::string chosen;                      ///< --registry or REAPCTL_REGISTRY: then this one and no other
  std::string system = "/run/reapctl";     ///< holds one for each user, named after the uid; sticky
  std::string temporary = "/tmp/reapctl";  ///< followed by "-" and the uid; where the other cannot be had
};

/// A registry that was opened, and found to belong to its user.
class Registry {
 public:
  /// The one for new runs of the effective user, made if need be. A place that was refused is told in `warnings`.
  /// Errors: none can be had; says why.
  [[nodiscard]] static sys::Result<Registry> open_for_writing(const RegistryPlaces& places,
                                                              std::vector<std::string>& warnings);

  /// Those of the effective user that exist: readers look everywhere. A place that exists and was refused is told in
  /// `warnings`. Error: the chosen one was refused.
  [[nodiscard]] static sys::Result<std::vector<Registry>> open_existing(const RegistryPlaces& places,
                                                                        std::vector<std::string>& warnings);

  /// Those of all users, for root. Whose each one is, its directory says.
  [[nodiscard]] static std::vector<Registry> open_of_all_users(const RegistryPlaces& places,
                                                               std::vector<std::string>& warnings);

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] int fd() const { return directory_.get(); }
  [[nodiscard]] uid_t owner() const { return owner_; }

  /// Whether both are the same directory, whatever the paths say.
  [[nodiscard]] bool is_same_as(const Registry& other) const;

  /// The names of the entries that look like run ids, sorted. Errors: the directory cannot be read.
  [[nodiscard]] sys::Result<std::vector<std::string>> run_ids() const;

 private:
  Registry(std::string path, sys::UniqueFd directory, uid_t owner)
      : path_(std::move(path)), directory_(std::move(directory)), owner_(owner) {}
  [[nodiscard]] static sys::Result<Registry> open(int parent_fd, const std::string& name, std::string path,
                                                  std::optional<uid_t> owner);

  std::string path_;
  sys::UniqueFd directory_;
  uid_t owner_ = 0;
};

/// What an entry of a registry holds, as far as it can be read and believed.
struct RegistryEntry {
  std::string run_id;
  std::string path;
  uid_t owner = 0;
  std::uint64_t inode = 0;  ///< of the run's directory
  std::size_t size = 0;     ///< of the record
  std::optional<core::RunRecord> record;
  std::string problem;  ///< why there is no record, in words; empty if there is one
  bool empty = false;   ///< there is no record.json at all: a start that was cut short, or one in progress
  core::LockState lock = core::LockState::missing;
  std::string lock_problem = {};  ///< why it is missing, in words
};

inline constexpr char kLockFile[] = "lock";
inline constexpr char kRecordFile[] = "record.json";
inline constexpr char kFreshRecordFile[] = "record.new";

inline constexpr std::size_t kRunIdLength = 16;

/// Whether `name` could be that of a run: kRunIdLength uppercase hexadecimal digits.
[[nodiscard]] bool is_run_id(std::string_view name);

/// Opens the directory of a run. Errors: it is gone (ENOENT), no directory, or somebody else's (EPERM).
[[nodiscard]] sys::Result<sys::UniqueFd> open_run_directory(const Registry& registry, const std::string& run_id);

/// Reads an entry without changing, locking or following anything; nullopt when it has gone meanwhile.
[[nodiscard]] std::optional<RegistryEntry> read_entry(const Registry& registry, const std::string& run_id,
                                                      const core::RecordCodec& codec);

/// The boot and namespaces in which this process lives.
struct Here {
  std::string boot_id;
  std::uint64_t pid_namespace = 0;
  std::uint64_t mount_namespace = 0;
};
[[nodiscard]] Here read_here(const proc::ProcFs& proc);

/// Whether the process is there and not dead; a zombie is dead.
[[nodiscard]] bool is_running(const proc::ProcFs& proc, const core::ProcessId& id);

/// Looks at what decides about a run.
[[nodiscard]] core::RunObservation observe(const proc::ProcFs& proc, const Here& here, const core::RunRecord& record,
                                           core::LockState lock);

}  // namespace reapctl::engine
