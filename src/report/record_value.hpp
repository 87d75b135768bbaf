#pragma once

#include "core/record.hpp"

#include <string_view>

/// What the two halves of the record codec share. Private to src/report.
namespace reapctl::report {

inline constexpr int kRecordSchemaVersion = 1;

[[nodiscard]] std::string_view name_of(core::RecordState state);

[[nodiscard]] sys::Result<core::RunRecord> decode_record(std::string_view bytes);

}  // namespace reapctl::report
