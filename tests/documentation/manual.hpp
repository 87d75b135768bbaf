#pragma once

#include <string>
#include <vector>

/// The manual as source, line by line: mdoc(7) is made of lines that begin with a macro.
namespace reapctl::test {

/// The file of a page, such as "reapctl-run.1".
[[nodiscard]] std::string page_path(const std::string& page);

/// Every page there is.
[[nodiscard]] std::vector<std::string> pages();

/// A line of a page, with the section (.Sh) and subsection (.Ss) that it is in.
struct ManualLine {
  std::string section;
  std::string subsection;
  std::string text;
};

[[nodiscard]] std::vector<ManualLine> lines_of(const std::string& page);

}  // namespace reapctl::test
