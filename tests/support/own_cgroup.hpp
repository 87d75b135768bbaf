#pragma once

#include <string>

namespace reapctl::test {

/// The directory of the cgroup (version 2) in which this process is; empty when none is to be seen.
[[nodiscard]] std::string own_cgroup();

}  // namespace reapctl::test
