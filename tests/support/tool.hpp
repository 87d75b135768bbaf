#pragma once

#include <string>
#include <vector>

namespace reapctl::test {

/// Runs a program without any output and returns its exit status; 127 if it is not there, 128+N if a signal killed it.
[[nodiscard]] int quiet_status(std::vector<std::string> command);

}  // namespace reapctl::test
