#pragma once

#include "core/run_list.hpp"

#include <string>

namespace reapctl::report {

/// All runs, one line of JSON; conforms to schemas/list.schema.json.
[[nodiscard]] std::string list_json(const core::RunList& list);

/// One line a run, and the command that cleans up what is left of dead ones. Safe to print on a terminal.
[[nodiscard]] std::string list_text(const core::RunList& list);

/// One run with its live tree and its record; conforms to schemas/show.schema.json.
[[nodiscard]] std::string show_json(const core::ListedRun& run, core::WallTime at);
[[nodiscard]] std::string show_text(const core::ListedRun& run);

}  // namespace reapctl::report
