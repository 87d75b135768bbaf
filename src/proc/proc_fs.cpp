#include "proc/proc_fs.hpp"

#include "core/descent.hpp"
#include "proc/host.hpp"
#include "sys/children.hpp"
#include "sys/unique_fd.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <climits>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <sys/stat.h>
#include <unistd.h>
#include <unordered_set>
#include <utility>

namespace reapctl::proc {
namespace {

constexpr std::size_t kReadSize = 16384;

std::string of_pid(pid_t pid, std::string_view file) {
  return std::to_string(pid).append("/").append(file);
}

ssize_t read_some(int fd, char* into, std::size_t size) {
  ssize_t count = 0;
  do {
    count = ::read(fd, into, size);
  } while (count < 0 && errno == EINTR);
  return count;
}

std::string without_newline(std::string text) {
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

/// What the system calls tell of a child. '?' says that the rest is unknown.
sys::Result<core::ProcessStat> stat_of_child(pid_t pid) {
  if (!sys::is_child(pid)) return sys::Error{.code = ESRCH, .operation = "look at", .subject = std::to_string(pid)};
  core::ProcessStat stat;
  stat.id.pid = pid;
  stat.state = sys::peek_ended(pid) ? 'Z' : '?';
  stat.ppid = ::getpid();
  stat.pgid = ::getpgid(pid);
  stat.sid = ::getsid(pid);
  return stat;
}

}  // namespace

bool is_gone(const sys::Error& error) {
  return error.code == ENOENT || error.code == ESRCH;
}

bool is_forbidden(const sys::Error& error) {
  return error.code == EACCES || error.code == EPERM;
}

bool ProcFs::is_usable() {
  return ProcFs().link("self") == std::to_string(::getpid());
}

bool ProcFs::has_children_elsewhere() const {
  return link("self/ns/pid_for_children") != link("self/ns/pid");
}

sys::Result<core::ProcessStat> ProcFs::stat(pid_t pid) const {
  if (root_ == kNone) return stat_of_child(pid);
  const std::string path = full_path(of_pid(pid, "stat"));
  const sys::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return sys::last_error("open", path);
  // 52 numbers of at most 20 digits and a comm of at most 64 bytes; the kernel writes them in one go.
  std::array<char, 2048> buffer;  // left as it is: filled by read
  const ssize_t count = read_some(fd.get(), buffer.data(), buffer.size());
  if (count < 0) return sys::last_error("read", path);
  auto stat = parse_stat({buffer.data(), static_cast<std::size_t>(count)});
  if (!stat) return sys::Error{.code = 0, .operation = "parse", .subject = path};
  return *std::move(stat);
}

sys::Result<std::vector<pid_t>> ProcFs::children_of_thread(pid_t pid, pid_t thread) const {
  const auto text = read(of_pid(pid, "task/").append(of_pid(thread, "children")));
  if (!text) return text.error();
  return parse_pids(*text);
}

sys::Result<std::vector<pid_t>> ProcFs::children(pid_t pid) const {
  if (root_ == kNone && pid == ::getpid()) return sys::children_by_asking();
  const auto threads = numbers_in(of_pid(pid, "task"));
  if (!threads) return threads.error();
  std::vector<pid_t> pids;
  sys::Error error{.code = ESRCH, .operation = "list the threads of", .subject = std::to_string(pid)};
  bool any = false;
  for (const pid_t thread : *threads) {
    const auto more = children_of_thread(pid, thread);
    if (more) {
      any = true;
      pids.insert(pids.end(), more->begin(), more->end());
      continue;
    }
    // A thread that has ended meanwhile has handed its children to another one, or up. Any other failure hides some.
    error = more.error();
    if (!is_gone(error)) return error;
  }
  if (!any) return error;
  return pids;
}

sys::Result<ChildrenReader> ProcFs::own_children() const {
  const std::string path = full_path("thread-self/children");
  sys::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return sys::last_error("open", path);
  return ChildrenReader(std::move(fd));
}

std::vector<pid_t> ChildrenReader::next() {
  std::array<char, kReadSize> buffer;  // left as it is: filled by read
  const ssize_t count = read_some(fd_.get(), buffer.data(), buffer.size());
  if (count <= 0) return {};
  cut_.append(buffer.data(), static_cast<std::size_t>(count));
  const std::size_t end = cut_.rfind(' ') + 1;  // a space is behind each number
  std::vector<pid_t> pids = parse_pids(std::string_view(cut_).substr(0, end));
  cut_.erase(0, end);
  return pids;
}

bool ProcFs::has_children_files() const {
  return ::access(full_path("thread-self/children").c_str(), F_OK) == 0;
}

Listing ProcFs::descendants(pid_t root) const {
  if (root_ != kNone && !has_children_files()) {
    Listing listing = all();
    listing.processes = core::descendants_of(root, std::move(listing.processes));
    return listing;
  }
  const auto firsts = children(root);
  if (!firsts) return Listing{.processes = {}, .complete = is_gone(firsts.error())};
  return descendants(root, *firsts);
}

Listing ProcFs::descendants(pid_t root, const std::vector<pid_t>& firsts) const {
  // Processes that fork and exit for ever would lead on and on: whoever was born since is listed, but not followed.
  const auto began = std::chrono::duration_cast<std::chrono::nanoseconds>(since_boot()).count();
  const auto began_ticks = static_cast<std::uint64_t>(began / (1'000'000'000 / ::sysconf(_SC_CLK_TCK)));
  Listing found;
  std::unordered_set<pid_t> known{root};
  const auto take = [&](const std::vector<pid_t>& pids) {
    for (const pid_t pid : pids) {
      if (known.contains(pid)) continue;
      auto child = stat(pid);
      if (!child) {
        found.complete = found.complete && is_gone(child.error());
        continue;
      }
      // Its parent may have died since the list was read; then it belongs to root or to a subreaper in between, both
      // known. Any other parent means that the pid has been reused by a stranger.
      if (!known.contains(child->ppid)) continue;
      known.insert(pid);
      found.processes.push_back(child.take());
    }
  };
  take(firsts);
  for (std::size_t next = 0; next < found.processes.size(); ++next) {
    const core::ProcessId id = found.processes[next].id;
    const bool single = found.processes[next].threads <= 1;
    // What a process leaves behind is handed on in the same step in which it becomes a zombie (exit_notify), unless
    // other threads live on. Skipping zombies keeps a backlog of thousands of them cheap.
    if (single && found.processes[next].state == 'Z') continue;
    if (id.start_ticks > began_ticks) continue;
    const auto pids = single ? children_of_thread(id.pid, id.pid) : children(id.pid);
    if (!pids) {
      found.complete = found.complete && is_gone(pids.error());
      continue;
    }
    if (pids->empty()) continue;
    // The list may be that of a stranger with the same pid. If the process is gone, each child's own parent decides.
    const auto again = stat(id.pid);
    if (!again || again->id == id) take(*pids);
  }
  return found;
}

Listing ProcFs::all() const {
  const auto pids = numbers_in("");
  if (!pids) return Listing{.processes = {}, .complete = false, .failure = pids.error().message()};
  Listing listing;
  listing.processes.reserve(pids->size());
  for (const pid_t pid : *pids) {
    auto process = stat(pid);
    if (process) {
      listing.processes.push_back(process.take());
    } else if (!is_gone(process.error())) {
      listing.complete = false;
      if (!is_forbidden(process.error()) && listing.failure.empty()) listing.failure = process.error().message();
    }
  }
  return listing;
}

sys::Result<std::vector<pid_t>> ProcFs::newcomers(std::unordered_map<pid_t, ino_t>& seen) const {
  std::vector<pid_t> pids;
  const auto listed = each_number("", std::numeric_limits<std::size_t>::max(), [&](pid_t pid, ino_t inode) {
    if (std::exchange(seen[pid], inode) != inode) pids.push_back(pid);
  });
  if (!listed) return listed.error();
  return pids;
}

sys::Result<SignalMasks> ProcFs::signal_masks(pid_t pid) const {
  const std::string path = of_pid(pid, "status");
  const auto text = read(path);
  if (!text) return text.error();
  const auto masks = parse_signal_masks(*text);
  if (!masks) return sys::Error{.code = 0, .operation = "parse", .subject = full_path(path)};
  return *masks;
}

sys::Result<StatusFacts> ProcFs::status(pid_t pid) const {
  const std::string path = of_pid(pid, "status");
  const auto text = read(path);
  if (!text) return text.error();
  const auto facts = parse_status(*text);
  if (!facts) return sys::Error{.code = 0, .operation = "parse", .subject = full_path(path)};
  return *facts;
}

std::string ProcFs::comm(pid_t pid) const {
  auto text = read(of_pid(pid, "comm"));
  return text ? without_newline(text.take()) : std::string();
}

std::vector<std::string> ProcFs::cmdline(pid_t pid) const {
  const auto text = read(of_pid(pid, "cmdline"));
  if (!text) return {};
  std::vector<std::string> arguments = split_at_nul(*text);
  const bool title_only = arguments.size() > 1 && std::all_of(arguments.begin() + 1, arguments.end(),
                                                              [](const std::string& each) { return each.empty(); });
  if (title_only) arguments.resize(1);
  return arguments;
}

std::string ProcFs::wchan(pid_t pid) const {
  auto text = read(of_pid(pid, "wchan"));
  if (!text) return {};
  std::string name = without_newline(text.take());
  return name == "0" ? std::string() : name;
}

EnvironMatch ProcFs::environ_has(pid_t pid, std::string_view assignment) const {
  const auto text = environment(pid);
  if (!text) return EnvironMatch::unreadable;
  const auto entries = split_at_nul(*text);
  if (std::find(entries.begin(), entries.end(), assignment) != entries.end()) return EnvironMatch::yes;
  return text->size() < kTextLimit ? EnvironMatch::no : EnvironMatch::unreadable;
}

sys::Result<std::string> ProcFs::environment(pid_t pid) const {
  // A read of environ is cut short by nothing but the end (fs/proc/base.c): to ask for more would be a call for each
  // process there is.
  return read_to_end(of_pid(pid, "environ"), true);
}

bool ProcFs::is_in_exec(pid_t pid) const {
  const auto text = read(of_pid(pid, "stat"));
  return text && proc::is_in_exec(*text);
}

bool ProcFs::is_ending(const core::ProcessId& id) const {
  const auto text = read(of_pid(id.pid, "stat"));
  if (!text) return is_gone(text.error());
  const auto stat = parse_stat(*text);
  return stat && (stat->id != id || proc::is_ending(*text));
}

sys::Result<std::string> ProcFs::read(std::string_view path) const {
  return read_to_end(path, false);
}

sys::Result<std::string> ProcFs::read_to_end(std::string_view path, bool short_is_end) const {
  const std::string full = full_path(path);
  const sys::UniqueFd fd(::open(full.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return sys::last_error("open", full);
  std::array<char, kReadSize> buffer;  // left as it is: filled by read
  std::string text;
  while (text.size() < kTextLimit) {
    const std::size_t wanted = std::min(buffer.size(), kTextLimit - text.size());
    const ssize_t count = read_some(fd.get(), buffer.data(), wanted);
    if (count < 0) return sys::last_error("read", full);
    if (count == 0) break;
    text.append(buffer.data(), static_cast<std::size_t>(count));
    if (short_is_end && static_cast<std::size_t>(count) < wanted) break;
  }
  return text;
}

void ProcFs::each_line(std::string_view path, const std::function<bool(std::string_view)>& consume) const {
  const sys::UniqueFd fd(::open(full_path(path).c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return;
  std::array<char, kReadSize> buffer;  // left as it is: filled by read
  std::string pending;
  for (;;) {
    const ssize_t count = read_some(fd.get(), buffer.data(), buffer.size());
    if (count <= 0) return;
    pending.append(buffer.data(), static_cast<std::size_t>(count));
    std::size_t begin = 0;
    for (std::size_t end = 0; (end = pending.find('\n', begin)) != std::string::npos; begin = end + 1) {
      if (!consume(std::string_view(pending).substr(begin, end - begin))) return;
    }
    pending.erase(0, begin);
  }
}

sys::Result<std::vector<pid_t>> ProcFs::numbers_in(std::string_view path, std::size_t limit) const {
  std::vector<pid_t> numbers;
  const auto listed = each_number(path, limit, [&](pid_t number, ino_t /*inode*/) { numbers.push_back(number); });
  if (!listed) return listed.error();
  return numbers;
}

sys::Result<void> ProcFs::each_number(std::string_view path, std::size_t limit,
                                      const std::function<void(pid_t, ino_t)>& consume) const {
  const std::string full = full_path(path);
  // opendir(3) sets close-on-exec.
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(full.c_str()), ::closedir);
  if (directory == nullptr) return sys::last_error("opendir", full);
  while (limit > 0) {
    errno = 0;
    const dirent* entry = ::readdir(directory.get());
    if (entry == nullptr) {
      if (errno != 0) return sys::last_error("readdir", full);
      break;
    }
    const std::string_view name = entry->d_name;
    pid_t number = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (error == std::errc{} && end == name.data() + name.size()) {
      consume(number, entry->d_ino);
      --limit;
    }
  }
  return {};
}

std::string ProcFs::link(std::string_view path) const {
  std::array<char, PATH_MAX> target;  // left as it is: filled by readlink
  const ssize_t length = ::readlink(full_path(path).c_str(), target.data(), target.size());
  return length < 0 ? std::string() : std::string(target.data(), static_cast<std::size_t>(length));
}

std::optional<FileId> ProcFs::file_behind(std::string_view path) const {
  struct stat status {};
  if (::stat(full_path(path).c_str(), &status) != 0) return std::nullopt;
  return FileId(status.st_dev, status.st_ino);
}

std::string ProcFs::full_path(std::string_view path) const {
  return std::string(root_).append("/").append(path);
}

}  // namespace reapctl::proc
