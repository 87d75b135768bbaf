#include "report/table.hpp"

#include "report/printable.hpp"

#include <algorithm>

namespace reapctl::report {

std::vector<std::string> table_lines(const std::vector<std::vector<std::string>>& rows, const std::string& indent,
                                     const std::vector<std::size_t>& right) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  }
  std::vector<std::string> lines;
  for (const auto& row : rows) {
    std::string line = indent;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string padding(widths[i] - width(row[i]), ' ');
      const bool flushed_right = std::find(right.begin(), right.end(), i) != right.end();
      if (i > 0) line += "  ";
      if (flushed_right) line += padding;
      line += row[i];
      if (!flushed_right && i + 1 < row.size()) line += padding;
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

std::string joined(const std::vector<std::string>& words, std::string_view separator) {
  std::string text;
  for (const std::string& word : words) text.append(text.empty() ? "" : separator).append(word);
  return text;
}

std::string ports_cell(const std::vector<int>& ports) {
  std::vector<std::string> words;
  words.reserve(ports.size());
  for (const int port : ports) words.push_back(":" + std::to_string(port));
  return words.empty() ? "-" : joined(words, " ");
}

std::string short_id(std::string_view run_id) {
  constexpr std::size_t kShown = 4;
  return std::string(run_id.substr(0, kShown));
}

}  // namespace reapctl::report
