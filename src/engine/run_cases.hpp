#pragma once

#include "core/ownership.hpp"
#include "core/record.hpp"
#include "engine/registry.hpp"
#include "proc/proc_fs.hpp"
#include "sys/unique_fd.hpp"

#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace reapctl::engine {

/// A run in a registry, with what has to be thought of it.
struct RunCase {
  std::size_t registry = 0;  ///< index in RunCases::registries
  RegistryEntry entry;
  core::Verdict verdict = core::Verdict::unknown;
  sys::UniqueFd directory;  ///< with the lock, once it was taken for a sweep
  sys::UniqueFd lock;
  std::string obstacle = {};  ///< after Claim::failed: "open its lock: Permission denied"

  [[nodiscard]] const std::optional<core::RunRecord>& record() const { return entry.record; }
};

/// All runs on record that somebody can see.
struct RunCases {
  Here here;
  std::vector<Registry> registries;
  std::vector<RunCase> cases;
  std::vector<std::string> warnings;

  /// Those that can own processes seen here, with their index in `cases`.
  struct Owning {
    std::vector<core::OwningRun> runs;
    std::vector<std::size_t> case_of_run;
  };
  [[nodiscard]] Owning owning() const;
};

/// sys::user_name, which looks each user up once only: a sweep asks of every run and every process.
[[nodiscard]] std::string name_of_user(uid_t uid);

/// Reads all entries of `registries` and judges them. Touches nothing. Entries of other users that have the id of one
/// of ours are not believed, and of their registries only the first thousands are looked at.
[[nodiscard]] RunCases read_cases(const proc::ProcFs& proc, std::vector<Registry> registries,
                                  const core::RecordCodec& codec);

/// The run of that id, if one of the registries of `cases` has it on record by now, and it is active.
[[nodiscard]] std::optional<core::OwningRun> find_active(const proc::ProcFs& proc, const RunCases& cases,
                                                         const std::string& run_id, const core::RecordCodec& codec);

/// Reads an entry again; false when it has gone.
[[nodiscard]] bool refresh(const proc::ProcFs& proc, const RunCases& cases, RunCase& run,
                           const core::RecordCodec& codec);

enum class Claim {
  taken,  ///< the lock is ours, and the record is as it was read under it
  busy,   ///< somebody else holds it
  gone,   ///< there is no such run any more
  bare,   ///< there was nothing but an empty directory, which is removed
  failed,
};

/// Takes the lock of a run that nobody supervises any more (on a read-only file system it is enough that nobody has
/// it), then looks again: the path must still name what is locked. After `taken` the entry is fresh and the verdict is
/// that of a run whose lock is free.
[[nodiscard]] Claim claim(const proc::ProcFs& proc, const RunCases& cases, RunCase& run,
                          const core::RecordCodec& codec);

}  // namespace reapctl::engine
