#pragma once

#include "core/process.hpp"

#include <sys/types.h>
#include <vector>

namespace reapctl::core {

/// Those of `all` that descend from `root` by their ppid, parents before children, `root` itself excluded.
/// A listing of a living system is no consistent picture: a pid seen twice counts once, the first time, and parents
/// that form a circle end the walk instead of keeping it going.
[[nodiscard]] std::vector<ProcessStat> descendants_of(pid_t root, std::vector<ProcessStat> all);

}  // namespace reapctl::core
