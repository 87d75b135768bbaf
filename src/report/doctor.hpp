#pragma once

#include "core/doctor_report.hpp"

#include <string>

namespace reapctl::report {

/// One line, as the schema "doctor" has it.
[[nodiscard]] std::string to_json(const core::DoctorReport& report);

/// For people.
[[nodiscard]] std::string to_text(const core::DoctorReport& report);

}  // namespace reapctl::report
