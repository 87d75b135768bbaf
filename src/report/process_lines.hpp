#pragma once

#include "core/report.hpp"

#include <string>
#include <vector>

namespace reapctl::report {

/// How people are shown a process: its command line as far as `shown` allows, the program without its directories, else
/// its comm. Printable, and cut to fit a line.
[[nodiscard]] std::string process_label(const core::ProcessDetails& process, core::ArgsShown shown);

/// The port numbers in addresses like "127.0.0.1:6379" and "[::]:80", ascending, each once.
[[nodiscard]] std::vector<int> ports_of(const std::vector<std::string>& listening);

/// One line a process, children below their parents, in columns:
///     4410  python -m pytest -n 2   S  futex_wait   cpu 2%
///     4502  └ redis-server  :6379   S  ep_poll      cpu 0%
/// A process whose parent is not in the list begins a tree. "cpu" is the share of one CPU over its whole life.
[[nodiscard]] std::vector<std::string> process_lines(const std::vector<core::ProcessDetails>& processes,
                                                     core::ArgsShown shown);

}  // namespace reapctl::report
