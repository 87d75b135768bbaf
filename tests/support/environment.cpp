#include "support/environment.hpp"

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <sys/stat.h>

namespace reapctl::test {

namespace fs = std::filesystem;

namespace {

struct Programs {
  std::string reapctl = REAPCTL_TEST_BINARY;
  std::string misbehave = REAPCTL_TEST_MISBEHAVE;
};

Programs& programs() {
  static Programs programs;
  return programs;
}

}  // namespace

std::string reapctl_path() {
  return programs().reapctl;
}

std::string misbehave_path() {
  return programs().misbehave;
}

void use_programs_in(const std::string& directory) {
  programs() = {.reapctl = directory + "/reapctl", .misbehave = directory + "/misbehave"};
}

TempDir::TempDir() {
  std::string name = (fs::temp_directory_path() / "reapctl-test-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp " + name);
  path_ = name;
}

TempDir::~TempDir() {
  std::error_code ignored;
  for (auto entry = fs::recursive_directory_iterator(path_, ignored); entry != fs::recursive_directory_iterator();
       entry.increment(ignored)) {
    if (ignored) break;
    if (entry->is_directory(ignored) && !entry->is_symlink(ignored)) {
      fs::permissions(entry->path(), fs::perms::owner_all, ignored);
    }
  }
  fs::remove_all(path_, ignored);  // what stays is found by the check at the end of the suite, ignoring
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return std::move(text).str();
}

void write_file(const std::string& path, std::string_view text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  if (!file.flush()) throw std::runtime_error("write " + path);
}

void write_script(const std::string& path, std::string_view text) {
  write_file(path, text);
  fs::permissions(path, fs::perms::owner_all);
}

}  // namespace reapctl::test
