#pragma once

#include <span>
#include <string_view>

namespace reapctl::report {

/// A JSON Schema (2020-12), byte for byte as in src/report/schemas.
struct Schema {
  std::string_view name;  ///< "report", "event"
  std::string_view text;
};

/// All schemas, in order of name.
std::span<const Schema> schemas();

}  // namespace reapctl::report
