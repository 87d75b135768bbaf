#include "documentation/manual.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

namespace reapctl::test {

std::string page_path(const std::string& page) {
  return std::string(REAPCTL_TEST_SOURCE) + "/man/" + page;
}

std::vector<std::string> pages() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(page_path(""))) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<ManualLine> lines_of(const std::string& page) {
  std::vector<ManualLine> lines;
  std::ifstream file(page_path(page));
  ManualLine line;
  while (std::getline(file, line.text)) {
    if (line.text.starts_with(".Sh ")) {
      line.section = line.text.substr(4);
      line.subsection.clear();
    } else if (line.text.starts_with(".Ss ")) {
      line.subsection = line.text.substr(4);
    } else {
      lines.push_back(line);
    }
  }
  EXPECT_FALSE(lines.empty()) << page;
  return lines;
}

}  // namespace reapctl::test
