#pragma once

#include "core/record.hpp"

namespace reapctl::report {

/// Records as JSON; what encode writes conforms to schemas/record.schema.json. decode takes any bytes, ignores keys
/// that it does not know, and trusts nothing: numbers are in range, a path is absolute.
[[nodiscard]] const core::RecordCodec& record_codec();

}  // namespace reapctl::report
