#pragma once

#include "core/plan.hpp"
#include "sys/directory.hpp"
#include "sys/result.hpp"
#include "sys/unique_fd.hpp"

#include <string>

namespace reapctl::engine {

/// The private directory of a run, as it was made.
struct Workdir {
  std::string path;  ///< absolute
  std::string name;  ///< workdir_name(): never reused
  sys::UniqueFd base;
  sys::UniqueFd directory;  ///< holds a lock that keeps systemd-tmpfiles from ageing it (tmpfiles.d(5))
  sys::DirectoryIdentity identity;
};

/// "reapctl-<run id>"
[[nodiscard]] std::string workdir_name(const std::string& run_id);

/// The absolute path of the directory that make_workdir makes.
[[nodiscard]] std::string workdir_path(const std::string& base, const std::string& run_id);

/// Makes the directory below `base` with mode 0700. Errors: ENOENT, EACCES, ENOSPC, … with the path as subject.
[[nodiscard]] sys::Result<Workdir> make_workdir(const std::string& base, const std::string& run_id);

}  // namespace reapctl::engine
