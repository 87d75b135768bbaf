// The measuring part of tests/bench/delete: delete ROUNDS DISK-DIRECTORY MEMORY-DIRECTORY [CASE...]
//
// Every deletion runs in a process of its own. Rounds are interleaved: each builds the tree anew for one tool after the
// other, starting with another one every time, so that what else the machine does hits all of them alike.

#include "engine/remover.hpp"
#include "sys/directory.hpp"
#include "sys/unique_fd.hpp"

#include <fcntl.h>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>
#include <vector>

namespace {

using reapctl::sys::UniqueFd;
using Seconds = std::chrono::duration<double>;

[[noreturn]] void fail(const std::string& what) {
  std::perror(what.c_str());
  std::exit(1);
}

UniqueFd open_directory(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) fail(path);
  return fd;
}

void make_files(const std::string& directory, int count, std::string_view content) {
  const UniqueFd at = open_directory(directory);
  for (int i = 0; i < count; ++i) {
    const std::string name = "file" + std::to_string(i);
    const UniqueFd file(::openat(at.get(), name.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    if (!file.valid()) fail(name);
    if (!content.empty() && ::write(file.get(), content.data(), content.size()) < 0) fail(name);
  }
}

void make_directories(const std::string& root, int directories, int files, std::string_view content) {
  for (int i = 0; i < directories; ++i) {
    const std::string path = root + "/dir" + std::to_string(i);
    if (::mkdir(path.c_str(), 0700) != 0) fail(path);
    make_files(path, files, content);
  }
}

void make_chain(const std::string& root, int levels) {
  UniqueFd at = open_directory(root);
  for (int i = 0; i < levels; ++i) {
    if (::mkdirat(at.get(), "d", 0700) != 0) fail("mkdirat");
    at.reset(::openat(at.get(), "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!at.valid()) fail("openat");
  }
}

void write_back(const std::string& root) {
  const UniqueFd fd = open_directory(root);
  if (::syncfs(fd.get()) != 0) fail("syncfs");
  const UniqueFd caches(::open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC));
  if (!caches.valid() || ::write(caches.get(), "3", 1) != 1) std::fputs("caches not dropped: not root\n", stderr);
}

struct Case {
  std::string name;
  bool disk;
  std::function<void(const std::string&)> build;
};

std::vector<Case> all_cases() {
  const auto tree = [](const std::string& root) { make_directories(root, 20, 1000, "x"); };
  const auto wide = [](const std::string& root) { make_files(root, 200'000, "x"); };
  const auto chain = [](const std::string& root) { make_chain(root, 100'000); };
  const auto written = [](auto build) {
    return [build](const std::string& root) {
      build(root);
      write_back(root);
    };
  };
  return {
      {"tree-written", true, written(tree)},
      {"tree-fresh", true, tree},
      {"wide-written", true, written(wide)},
      {"wide-fresh", true, wide},
      {"chain-fresh", true, chain},
      {"tree", false, tree},
      {"wide", false, wide},
      {"chain", false, chain},
      {"million", false, [](const std::string& root) { make_directories(root, 100, 10'000, ""); }},
      {"million-flat", false, [](const std::string& root) { make_files(root, 1'000'000, ""); }},
  };
}

int reapctl_remove(const std::string& path) {
  namespace engine = reapctl::engine;
  const std::filesystem::path root(path);
  const UniqueFd parent = open_directory(root.parent_path());
  const auto identity = reapctl::sys::directory_identity(open_directory(path).get());
  engine::RemovalProgress progress;
  engine::remove_directory(parent.get(), root.filename(), *identity, progress);
  return progress.stats().complete ? 0 : 1;
}

int library_remove(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  return error ? 1 : 0;
}

struct Tool {
  std::string name;
  std::function<int(const std::string&)> run;
};

std::vector<Tool> all_tools() {
  return {
      {"reapctl", reapctl_remove},
      {"rm -rf", [](const std::string& path) { return ::execlp("rm", "rm", "-rf", path.c_str(), nullptr); }},
      {"find -delete",
       [](const std::string& path) { return ::execlp("find", "find", path.c_str(), "-delete", nullptr); }},
      {"remove_all", library_remove},
  };
}

struct Measured {
  std::vector<double> wall_ms;
  std::vector<double> cpu_ms;
  long maxrss_kib = 0;
  bool failed = false;
};

void measure(const Tool& tool, const std::string& path, Measured& into) {
  const auto begin = std::chrono::steady_clock::now();
  const pid_t child = ::fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    const int quiet = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
    (void)::dup2(quiet, STDERR_FILENO);
    ::_exit(tool.run(path) == 0 ? 0 : 1);
  }
  int status = 0;
  rusage usage{};
  if (::wait4(child, &status, 0, &usage) != child) fail("wait4");
  const Seconds wall = std::chrono::steady_clock::now() - begin;
  if (status != 0) {
    into.failed = true;  // remove_all needs a descriptor for each level
    (void)reapctl_remove(path);
    return;
  }
  const auto ms = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_usec) / 1e3;
  };
  into.wall_ms.push_back(wall.count() * 1e3);
  into.cpu_ms.push_back(ms(usage.ru_utime) + ms(usage.ru_stime));
  into.maxrss_kib = std::max(into.maxrss_kib, usage.ru_maxrss);
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void report(const Case& one, const std::vector<Tool>& tools, const std::map<std::string, Measured>& results) {
  const double ours = median(results.at("reapctl").wall_ms);
  for (const Tool& tool : tools) {
    const Measured& result = results.at(tool.name);
    const std::string where = one.name + (one.disk ? " (disk)" : " (tmpfs)");
    if (result.failed) {
      std::printf("%-22s %-13s failed\n", where.c_str(), tool.name.c_str());
      continue;
    }
    const double wall = median(result.wall_ms);
    std::printf("%-22s %-13s %9.1f ms  least %9.1f  cpu %8.1f  rss %6ld KiB  ours is %5.2f times as fast\n",
                where.c_str(), tool.name.c_str(), wall, *std::min_element(result.wall_ms.begin(), result.wall_ms.end()),
                median(result.cpu_ms), result.maxrss_kib, wall / ours);
  }
  std::fflush(stdout);
}

void run_case(const Case& one, const std::string& base, int rounds) {
  const std::vector<Tool> tools = all_tools();
  std::map<std::string, Measured> results;
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t turn = 0; turn < tools.size(); ++turn) {
      const Tool& tool = tools[(turn + static_cast<std::size_t>(round)) % tools.size()];
      if (results[tool.name].failed) continue;
      std::string root = base + "/XXXXXX";
      if (::mkdtemp(root.data()) == nullptr) fail(root);
      one.build(root);
      measure(tool, root, results[tool.name]);
    }
  }
  report(one, tools, results);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fputs("usage: delete ROUNDS DISK-DIRECTORY MEMORY-DIRECTORY [CASE...]\n", stderr);
    return 2;
  }
  const std::vector<std::string> wanted(argv + 4, argv + argc);
  for (const Case& one : all_cases()) {
    if (!wanted.empty() && std::find(wanted.begin(), wanted.end(), one.name) == wanted.end()) continue;
    run_case(one, argv[one.disk ? 2 : 3], std::max(1, std::atoi(argv[1])));
  }
}
