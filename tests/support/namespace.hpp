#pragma once

#include <string>
#include <vector>

/// A PID namespace of its own for what forks without bound or wants to be PID 1, by unshare(1).
namespace reapctl::test {

/// Why there can be none here; empty when there can.
[[nodiscard]] std::string pid_namespace_obstacle();

/// The same for what forks as fast as it can.
[[nodiscard]] std::string storm_obstacle();

/// From Linux 6.14 on a PID namespace has a pid_max of its own. Before, processes in it use up the pids of the machine.
[[nodiscard]] bool has_own_pid_max();

/// The command line up to the program, which becomes PID 1; all of it dies with unshare.
[[nodiscard]] std::vector<std::string> pid_namespace();

}  // namespace reapctl::test

/// Skips the test visibly where there are no PID namespaces.
#define REQUIRE_PID_NAMESPACE()                                                                  \
  if (const std::string obstacle = ::reapctl::test::pid_namespace_obstacle(); !obstacle.empty()) \
  GTEST_SKIP() << obstacle
