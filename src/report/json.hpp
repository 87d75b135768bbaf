#pragma once

#include "core/event.hpp"
#include "core/report.hpp"

#include <string>

/// JSON for programs: one line without a line feed, keys in the order of the schema, every key always there, an absent
/// fact null. Bytes that are not UTF-8 become U+FFFD one by one; no string makes these functions throw.
namespace reapctl::report {

/// The exit report; conforms to schemas/report.schema.json. `shown` applies to every command line in it. Lists are cut
/// at core::kListLimit here too, and tree.omitted counts what is missing from all of them.
[[nodiscard]] std::string to_json(const core::RunReport& report, core::ArgsShown shown);

/// One line of --events; conforms to schemas/event.schema.json.
[[nodiscard]] std::string to_json(const core::Event& event, core::ArgsShown shown);

}  // namespace reapctl::report
