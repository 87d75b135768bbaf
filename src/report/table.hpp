#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace reapctl::report {

/// Rows of printable cells as lines, in columns two spaces apart, each line after `indent`. Cells of the columns named
/// in `right` (by index) are flushed right; the last cell of a row is not padded.
[[nodiscard]] std::vector<std::string> table_lines(const std::vector<std::vector<std::string>>& rows,
                                                   const std::string& indent, const std::vector<std::size_t>& right);

/// The words with `separator` between each two.
[[nodiscard]] std::string joined(const std::vector<std::string>& words, std::string_view separator);

/// Ports as a cell: ":80 :443"; "-" for none.
[[nodiscard]] std::string ports_cell(const std::vector<int>& ports);

/// The beginning of a run id, as much of it as people are shown.
[[nodiscard]] std::string short_id(std::string_view run_id);

}  // namespace reapctl::report
