/// left_behind BUILD_DIR MARKER DIRECTORY...: the last test of the suite. Fails when a process is left that carries
/// MARKER (NAME=VALUE, set by ctest for every test) in its environment or runs a program below BUILD_DIR, or when one
/// of the directories is not empty.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <sys/types.h>
#include <unistd.h>

namespace {

namespace fs = std::filesystem;

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return std::move(text).str();
}

bool is_process(const fs::path& entry) {
  const std::string name = entry.filename().string();
  return std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// This process and its ancestors: ctest itself may be one of a test of ours.
std::set<std::string> own_family() {
  std::set<std::string> family;
  for (std::string pid = std::to_string(::getpid()); pid != "0" && !pid.empty();) {
    family.insert(pid);
    const std::string stat = read_file("/proc/" + pid + "/stat");
    const std::size_t close = stat.rfind(')');
    if (close == std::string::npos) break;
    std::istringstream fields(stat.substr(close + 1));
    std::string state;
    fields >> state >> pid;
  }
  return family;
}

/// The environment of a process as "\0NAME=VALUE\0…\0", so that a search finds whole entries only.
std::string environment_of(const fs::path& process) {
  return std::string(1, '\0') + read_file(process / "environ");
}

bool runs_from(const fs::path& process, const fs::path& directory) {
  std::error_code ignored;  // kernel threads and other users' processes have no readable exe
  const std::string exe = fs::read_symlink(process / "exe", ignored).string();
  return exe.rfind(directory.string() + "/", 0) == 0;
}

int report_processes(const fs::path& build_dir, const std::string& marker) {
  const std::string entry = std::string(1, '\0') + marker + std::string(1, '\0');
  const std::set<std::string> family = own_family();
  int found = 0;
  for (const auto& process : fs::directory_iterator("/proc")) {
    if (!is_process(process.path()) || family.count(process.path().filename().string()) != 0) continue;
    if (environment_of(process.path()).find(entry) == std::string::npos && !runs_from(process.path(), build_dir)) {
      continue;
    }
    ++found;
    std::string arguments = read_file(process.path() / "cmdline");
    std::replace(arguments.begin(), arguments.end(), '\0', ' ');
    std::printf("process left behind: %s %s\n", process.path().filename().c_str(), arguments.c_str());
  }
  return found;
}

int report_files(const fs::path& directory) {
  int found = 0;
  for (const auto& file : fs::directory_iterator(directory)) {
    ++found;
    std::printf("file left behind: %s\n", file.path().c_str());
  }
  return found;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  int found = report_processes(argv[1], argv[2]);
  for (int i = 3; i < argc; ++i) found += report_files(argv[i]);
  return found == 0 ? 0 : 1;
}
