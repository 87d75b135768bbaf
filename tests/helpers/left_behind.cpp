/// left_behind BUILD_DIR MARKER DIRECTORY...: the last test of the suite. Fails when a process is left that carries
/// MARKER (NAME=VALUE, set by ctest for every test) in its environment or runs a program below BUILD_DIR, or when one
/// of the directories is not empty, or when there are more cgroups of runs or of tests below our own one than were
/// noted by `left_behind --note FILE` before the first test. FILE is left_behind.cgroups in BUILD_DIR.
#include "support/own_cgroup.hpp"

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
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

/// Those that reapctl or a test makes, below the cgroup v2 in which we are.
std::set<std::string> cgroups() {
  std::set<std::string> found;
  const std::string own = reapctl::test::own_cgroup();
  if (own.empty()) return found;
  for (const auto& entry : fs::directory_iterator(own)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind("reapctl-", 0) == 0 || name.rfind("test-", 0) == 0) found.insert(name);
  }
  return found;
}

/// Somebody else's runs may come meanwhile: who is alive in there is none of ours, or reported as a process.
bool is_empty(const std::string& name) {
  const std::string events = read_file(reapctl::test::own_cgroup() + "/" + name + "/cgroup.events");
  return events.find("populated 0") != std::string::npos;
}

int note_cgroups(const char* into) {
  std::ofstream file(into);
  for (const std::string& name : cgroups()) file << name << "\n";
  return file.flush().good() ? 0 : 1;
}

int report_cgroups(const fs::path& noted) {
  std::set<std::string> before;
  std::ifstream file(noted);
  for (std::string name; std::getline(file, name);) before.insert(name);
  int found = 0;
  for (const std::string& name : cgroups()) {
    if (before.count(name) != 0) continue;
    // That of a run of somebody else's is empty for a moment when it begins, and when it ends.
    timespec moment{.tv_sec = 0, .tv_nsec = 10'000'000};
    bool empty = true;
    for (int looks = 0; empty && looks < 100; ++looks, (void)nanosleep(&moment, nullptr)) empty = is_empty(name);
    if (!empty) continue;
    ++found;
    std::printf("cgroup left behind: %s\n", name.c_str());
  }
  return found;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::string_view(argv[1]) == "--note") return note_cgroups(argv[2]);
  if (argc < 4) return 2;
  int found = report_processes(argv[1], argv[2]) + report_cgroups(fs::path(argv[1]) / "left_behind.cgroups");
  for (int i = 3; i < argc; ++i) found += report_files(argv[i]);
  return found == 0 ? 0 : 1;
}
