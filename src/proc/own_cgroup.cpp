#include "proc/own_cgroup.hpp"

#include "proc/parse.hpp"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <utility>

namespace reapctl::proc {
namespace {

/// Space, tab, newline and backslash are written as "\040", …
std::string unescaped(std::string_view text) {
  std::string plain;
  const auto is_octal = [](char digit) { return digit >= '0' && digit <= '7'; };
  while (!text.empty()) {
    if (text.size() >= 4 && text[0] == '\\' && is_octal(text[1]) && is_octal(text[2]) && is_octal(text[3])) {
      plain += static_cast<char>((text[1] - '0') * 64 + (text[2] - '0') * 8 + (text[3] - '0'));
      text.remove_prefix(4);
    } else {
      plain += text.front();
      text.remove_prefix(1);
    }
  }
  return plain;
}

/// What is left of `path` below `root`; nullopt if it is not below it.
std::optional<std::string_view> below(std::string_view path, std::string_view root) {
  if (root == "/") return path == "/" ? std::string_view() : path;
  if (!path.starts_with(root)) return std::nullopt;
  path.remove_prefix(root.size());
  if (!path.empty() && path.front() != '/') return std::nullopt;
  return path;
}

bool is_writable(std::string_view options) {
  return options == "rw" || options.starts_with("rw,");
}

/// Where cgroup v2 is mounted on most systems, if its root is there; empty if not. Reading mountinfo takes the kernel
/// some microseconds, and hundreds of them on a host full of containers. Paths are absolute only in the first cgroup
/// namespace.
std::string usual_root(const ProcFs& proc) {
  constexpr char kFirstNamespace[] = "cgroup:[4026531835]";  // a constant of the kernel, proc_ns.h
  constexpr ino_t kRootInode = 1;
  if (!proc.is_system() || proc.link("self/ns/cgroup") != kFirstNamespace) return {};
  for (const char* place : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}) {
    struct statfs system {};
    struct stat root {};
    if (::statfs(place, &system) != 0 || system.f_type != CGROUP2_SUPER_MAGIC) continue;
    if (::stat(place, &root) == 0 && root.st_ino == kRootInode) return place;
  }
  return {};
}

}  // namespace

std::optional<std::string> cgroup2_path(std::string_view cgroup) {
  std::optional<std::string> path;
  while (!cgroup.empty()) {
    constexpr std::string_view kUnified = "0::";
    const std::string_view line = take_line(cgroup);
    if (line.starts_with(kUnified)) path = line.substr(kUnified.size());
  }
  return path;
}

std::vector<std::string> cgroup2_directories(std::string_view mountinfo, std::string_view path) {
  std::vector<std::string> writable;
  std::vector<std::string> others;
  while (!mountinfo.empty()) {
    std::string_view line = take_line(mountinfo);
    const std::size_t separator = line.find(" - ");
    if (separator == std::string_view::npos || !line.substr(separator).starts_with(" - cgroup2 ")) continue;
    line = line.substr(0, separator);
    for (int skipped = 0; skipped < 3; ++skipped) (void)take_word(line);  // mount id, parent id, device
    const std::string root = unescaped(take_word(line));
    const std::string mount_point = unescaped(take_word(line));
    if (!root.starts_with('/') || !mount_point.starts_with('/')) continue;
    const auto rest = below(path, root);
    if (rest) (is_writable(take_word(line)) ? writable : others).push_back(mount_point + std::string(*rest));
  }
  std::move(others.begin(), others.end(), std::back_inserter(writable));
  return writable;
}

sys::Result<std::vector<std::string>> own_cgroup_directories(const ProcFs& proc) {
  if (!proc.has_files()) return sys::Error{.code = 0, .operation = "find one without /proc", .subject = {}};
  const auto cgroup = proc.read("self/cgroup");
  if (!cgroup) return cgroup.error();
  const auto path = cgroup2_path(*cgroup);
  if (!path)
    return sys::Error{.code = 0, .operation = "find a cgroup v2 hierarchy in /proc/self/cgroup", .subject = {}};
  if (path->starts_with("/..")) {
    return sys::Error{.code = 0, .operation = "use a cgroup that lies outside of the cgroup namespace", .subject = {}};
  }
  if (std::string root = usual_root(proc); !root.empty()) {
    return std::vector<std::string>{*path == "/" ? root : root + *path};
  }
  const auto mountinfo = proc.read("self/mountinfo");
  if (!mountinfo) return mountinfo.error();
  auto directories = cgroup2_directories(*mountinfo, *path);
  if (directories.empty()) {
    return sys::Error{.code = 0, .operation = "find a mount of cgroup v2 that shows the cgroup", .subject = *path};
  }
  return directories;
}

}  // namespace reapctl::proc
