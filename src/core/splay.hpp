#pragma once

#include "core/time.hpp"

#include <string_view>

namespace reapctl::core {

/// The part of `range` that a run waits before it begins: less than `range`, the same every day for a machine and a
/// name, evenly spread over machines and over names. `machine_id` is that of machine-id(5), which should not be
/// exposed: it cannot be derived from the result.
[[nodiscard]] Millis splay_offset(std::string_view machine_id, std::string_view name, Millis range);

}  // namespace reapctl::core
