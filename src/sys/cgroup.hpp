#pragma once

#include "sys/result.hpp"
#include "sys/unique_fd.hpp"

#include <functional>
#include <string>
#include <string_view>

/// Control groups, version 2, by descriptor: directories whose files are their controls. Source: cgroups(7) and the
/// kernel's cgroup-v2.rst.
namespace reapctl::sys {

/// Whether `fd` is on a cgroup v2 file system.
[[nodiscard]] bool is_cgroup2(int fd);

/// All of a control file of the cgroup `fd`. Errors: ENOENT: there is no such control (an older kernel, a controller
/// that is not there); ENODEV: the cgroup has gone; EOPNOTSUPP: a threaded cgroup has no processes of its own.
[[nodiscard]] Result<std::string> read_control(int fd, const char* file);

/// Writes a control file. Errors: ENOENT, ENODEV, EACCES, …
[[nodiscard]] Result<void> write_control(int fd, const char* file, std::string_view text);

/// Calls `visit` with a descriptor for the cgroup `fd` and for each one below it, parents first; at most `limit` of
/// them, and then false. However deep they lie, it keeps two descriptors open. Those that go meanwhile are left out.
bool for_each_cgroup(int fd, std::size_t limit, const std::function<void(int fd)>& visit);

/// Removes the cgroups below `fd`, the deepest first, at most `limit` of them; true when none is left. Errors: EBUSY:
/// somebody lives in one.
[[nodiscard]] Result<bool> remove_cgroups_below(int fd, std::size_t limit);

}  // namespace reapctl::sys
