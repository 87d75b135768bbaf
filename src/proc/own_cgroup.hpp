#pragma once

#include "proc/proc_fs.hpp"
#include "sys/result.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// Where in the file system the cgroup (version 2) of this process lies.
namespace reapctl::proc {

/// The path of a process in the cgroup v2 hierarchy, from its /proc/PID/cgroup, relative to the root of the cgroup
/// namespace of the reader: "/" or "/user.slice/…"; nullopt: there is no such hierarchy. Source: cgroups(7).
[[nodiscard]] std::optional<std::string> cgroup2_path(std::string_view cgroup);

/// The directories in which the cgroup `path` can be seen, by the mounts that `mountinfo` lists, writable mounts first:
/// with a hybrid hierarchy cgroup v2 is mounted in a place like /sys/fs/cgroup/unified, a container may see only a part
/// of it, and a mount may lie hidden below another one. Source: proc_pid_mountinfo(5).
[[nodiscard]] std::vector<std::string> cgroup2_directories(std::string_view mountinfo, std::string_view path);

/// Both of this process; never empty. Errors, in words: no hierarchy, no mount that shows our part of it.
[[nodiscard]] sys::Result<std::vector<std::string>> own_cgroup_directories(const ProcFs& proc);

}  // namespace reapctl::proc
