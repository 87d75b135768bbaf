#pragma once

#include "core/sweep_report.hpp"
#include "sys/result.hpp"

#include <string>
#include <string_view>

namespace reapctl::report {

/// The report of a sweep as one line of JSON; conforms to schemas/sweep.schema.json.
[[nodiscard]] std::string to_json(const core::SweepReport& report);

/// Reads what to_json wrote: a sweep for all users is done by one child for each, which sends its report this way.
/// Takes any bytes, for what a child says comes in part from what a user has put on record. Error: it is no such
/// report.
[[nodiscard]] sys::Result<core::SweepReport> sweep_report_of(std::string_view json);

}  // namespace reapctl::report
