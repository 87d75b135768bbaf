#pragma once

#include "core/event.hpp"
#include "core/report.hpp"

#include <string_view>

/// The enumerations as reports and events spell them; the schemas list the same words.
namespace reapctl::report {

[[nodiscard]] std::string_view name_of(core::RunResult result);
[[nodiscard]] std::string_view name_of(core::StopCause cause);
[[nodiscard]] std::string_view name_of(core::ExitKind kind);
[[nodiscard]] std::string_view name_of(core::SignalAction action);

}  // namespace reapctl::report
