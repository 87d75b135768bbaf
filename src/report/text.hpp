#pragma once

#include "core/report.hpp"

#include <string>

namespace reapctl::report {

/// The exit report for people: one line when all went well, else what they would ask next. Lines end with a line feed
/// but the last. Every name and command line in it is safe to print on a terminal. `shown` applies to command lines.
[[nodiscard]] std::string to_text(const core::RunReport& report, core::ArgsShown shown);

}  // namespace reapctl::report
