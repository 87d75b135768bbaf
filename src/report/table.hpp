#pragma once

#include <string>
#include <vector>

namespace reapctl::report {

/// Rows of printable cells as lines, in columns two spaces apart, each line after `indent`. Cells of the columns named
/// in `right` (by index) are flushed right; the last cell of a row is not padded.
[[nodiscard]] std::vector<std::string> table_lines(const std::vector<std::vector<std::string>>& rows,
                                                   const std::string& indent, const std::vector<std::size_t>& right);

}  // namespace reapctl::report
