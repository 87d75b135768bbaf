#pragma once

#include "core/sweep_report.hpp"

#include <string>

namespace reapctl::report {

/// The report of a sweep for people. Lines end with a line feed but the last. Safe to print on a terminal.
[[nodiscard]] std::string to_text(const core::SweepReport& report);

/// The report for GitHub Actions: one workflow command that shows as a warning on the run, or nothing when there was
/// nothing. Source: "Workflow commands for GitHub Actions", escaping as in actions/toolkit.
[[nodiscard]] std::string to_github_warning(const core::SweepReport& report);

/// What is added to the file in GITHUB_STEP_SUMMARY: Markdown.
[[nodiscard]] std::string to_github_summary(const core::SweepReport& report);

}  // namespace reapctl::report
