#pragma once

#include <string>
#include <vector>

/// strace(1) as the hand that makes system calls fail and signals come at a chosen moment.
namespace reapctl::test {

/// Why strace cannot be used here; empty when it can.
[[nodiscard]] std::string strace_obstacle();

/// The command line up to the traced program. The trace goes to `log`; `options` are strace's ("-e", "inject=…"). Only
/// the first thread of the program is traced, not its children, unless `options` has "-f".
[[nodiscard]] std::vector<std::string> strace(const std::string& log, const std::vector<std::string>& options);

}  // namespace reapctl::test

/// Skips the test visibly where tracing is not possible.
#define REQUIRE_STRACE() \
  if (const std::string obstacle = ::reapctl::test::strace_obstacle(); !obstacle.empty()) GTEST_SKIP() << obstacle
