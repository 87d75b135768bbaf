#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

/// The layer rule of ARCHITECTURE.md, checked from the includes.
namespace reapctl {
namespace {

namespace fs = std::filesystem;
using testing::IsEmpty;

/// Which directories of ours each directory may include, itself apart. `core` may use of `sys` only the Result.
const std::map<std::string, std::set<std::string>> kMayInclude = {
    {"sys", {}},
    {"core", {"sys/result.hpp"}},
    {"proc", {"core", "sys"}},
    {"engine", {"core", "sys", "proc"}},
    {"report", {"core", "sys", "version.hpp"}},
    {"cli", {"core", "sys", "proc", "engine", "report", "version.hpp"}},
    {"main.cpp", {"cli"}},
};

/// Libraries that only one directory knows.
const std::map<std::string, std::string> kLibraryHome = {{"CLI", "cli"}, {"spdlog", "cli"}, {"nlohmann", "report"}};

std::string first_part(const std::string& path) {
  return path.substr(0, path.find('/'));
}

/// What is wrong with `file` (relative to src) including `header`; empty when nothing is.
std::string objection(const std::string& file, const std::string& header) {
  const std::string home = first_part(file);
  const std::string target = first_part(header);
  if (const auto library = kLibraryHome.find(target); library != kLibraryHome.end()) {
    return library->second == home ? "" : file + " includes <" + header + ">, which only " + library->second + " may";
  }
  const bool ours = kMayInclude.count(target) != 0 || header == "version.hpp";
  if (!ours || target == home) return "";
  const auto rule = kMayInclude.find(home);
  if (rule == kMayInclude.end()) return file + " is in no known layer";
  const bool allowed = rule->second.count(target) != 0 || rule->second.count(header) != 0;
  return allowed ? "" : file + " includes \"" + header + "\", which is not below it";
}

/// What a source includes of ours ("…") and of the libraries with a home (<…>); not <sys/types.h> and the like.
std::vector<std::string> includes_of(const std::string& source) {
  std::vector<std::string> result;
  std::istringstream lines(source);
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind("#include", 0) != 0) continue;
    const std::size_t open = line.find_first_of("<\"");
    const std::size_t close = line.find_first_of(">\"", open + 1);
    if (close == std::string::npos) continue;
    std::string header = line.substr(open + 1, close - open - 1);
    if (line[open] == '"' || kLibraryHome.count(first_part(header)) != 0) result.push_back(std::move(header));
  }
  return result;
}

std::vector<std::string> objections(const std::string& file, const std::string& source) {
  std::vector<std::string> result;
  for (const std::string& header : includes_of(source)) {
    if (std::string text = objection(file, header); !text.empty()) result.push_back(std::move(text));
  }
  return result;
}

TEST(Layers, EveryIncludePointsDown) {
  const fs::path root = REAPCTL_TEST_SOURCES;
  int files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    if (entry.path().extension() != ".cpp" && entry.path().extension() != ".hpp") continue;
    ++files;
    std::ifstream file(entry.path());
    std::ostringstream source;
    source << file.rdbuf();
    EXPECT_THAT(objections(fs::relative(entry.path(), root).string(), source.str()), IsEmpty());
  }
  EXPECT_GE(files, 10);
}

TEST(Layers, TheRuleObjectsToWhatItForbids) {
  EXPECT_NE(objection("sys/directory.cpp", "core/time.hpp"), "");
  EXPECT_NE(objection("core/ladder.hpp", "sys/pid_fd.hpp"), "");
  EXPECT_NE(objection("core/ladder.hpp", "proc/process_list.hpp"), "");
  EXPECT_NE(objection("proc/stat.cpp", "engine/runner.hpp"), "");
  EXPECT_NE(objection("report/json.cpp", "proc/stat.hpp"), "");
  EXPECT_NE(objection("engine/runner.cpp", "cli/options.hpp"), "");
  EXPECT_NE(objection("engine/runner.cpp", "nlohmann/json.hpp"), "");
  EXPECT_NE(objection("report/text.cpp", "spdlog/spdlog.h"), "");
  EXPECT_NE(objection("main.cpp", "engine/runner.hpp"), "");
  EXPECT_NE(objection("misc/odd.cpp", "core/time.hpp"), "");
}

TEST(Layers, TheRuleLetsPassWhatItAllows) {
  EXPECT_EQ(objection("core/plan.hpp", "sys/result.hpp"), "");
  EXPECT_EQ(objection("core/plan.hpp", "core/time.hpp"), "");
  EXPECT_EQ(objection("engine/runner.cpp", "proc/stat.hpp"), "");
  EXPECT_EQ(objection("cli/run.cpp", "CLI/CLI.hpp"), "");
  EXPECT_EQ(objection("report/json.cpp", "nlohmann/json.hpp"), "");
  EXPECT_EQ(objection("main.cpp", "cli/main.hpp"), "");
}

TEST(Layers, IncludesAreFoundInBothForms) {
  EXPECT_EQ(
      includes_of(
          "#include \"a/b.hpp\"\nint x;\n#include <nlohmann/json.hpp>\n#include <sys/types.h>\n// #include <no>\n"),
      (std::vector<std::string>{"a/b.hpp", "nlohmann/json.hpp"}));
}

}  // namespace
}  // namespace reapctl
