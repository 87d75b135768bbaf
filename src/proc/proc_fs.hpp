#pragma once

#include "core/process.hpp"
#include "proc/parse.hpp"
#include "sys/result.hpp"
#include "sys/unique_fd.hpp"

#include <cstddef>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <unordered_map>
#include <utility>
#include <vector>

namespace reapctl::proc {

/// Whether a failed look at a process means that there is none any more, and not that we may not or could not look.
/// Source: a read from a /proc/PID that ended after open gives ESRCH.
[[nodiscard]] bool is_gone(const sys::Error& error);

/// Whether it failed because we may not look, by the permissions of the process or by hidepid, proc(5). Anything else
/// (no descriptors, no memory) is no answer at all.
[[nodiscard]] bool is_forbidden(const sys::Error& error);

/// Processes, and whether these are all: false when one was there that could not be read.
struct Listing {
  std::vector<core::ProcessStat> processes;
  bool complete = true;
  std::string failure = {};  ///< the first that was more than is_forbidden
};

/// Whether a process has a variable in its environment. `unreadable` is not `no`: other users' and non-dumpable
/// processes, and those that are gone.
enum class EnvironMatch { yes, no, unreadable };

/// Which file, whatever its name: device and inode.
using FileId = std::pair<dev_t, ino_t>;

/// Reads a list of children, the oldest first, zombies included, that may be long and grow meanwhile.
class ChildrenReader {
 public:
  explicit ChildrenReader(sys::UniqueFd fd) : fd_(std::move(fd)) {}

  /// The next of them, some hundreds; empty at the end. Whoever comes later is at the end of the list, and the next
  /// call reads on there, in a fraction of the time that reading from the start takes. But if somebody is reaped in
  /// between as many are passed over. Source: fs/seq_file.c, get_children_pid() in fs/proc/array.c.
  [[nodiscard]] std::vector<pid_t> next();

 private:
  sys::UniqueFd fd_;
  std::string cut_;  ///< the beginning of a number
};

/// Read-only access to a proc file system, proc(5). Paths are relative to its root. Keeps no descriptor and no state.
/// Everything here tells what was true at one instant: whoever acts on it checks the start ticks again.
class ProcFs {
 public:
  /// Longest text that is read. More than argument and environment area together can be after exec (6 MiB, execve(2)),
  /// but a process may map such an area of any size.
  static constexpr std::size_t kTextLimit = std::size_t{8} << 20U;

  explicit ProcFs(std::string root = kSystemRoot) : root_(std::move(root)) {}

  /// For want of a usable /proc: knows the children of this process, whether each has ended, its group and session, and
  /// nothing else. A descendant becomes a child when its parents are dead, if this process is a subreaper.
  [[nodiscard]] static ProcFs without_proc() { return ProcFs(kNone); }

  /// Whether /proc shows the processes of our own PID namespace. It may be missing, or belong to an outer one.
  [[nodiscard]] static bool is_usable();

  /// Whether the next child of this process is born in another PID namespace than its own, and is not what /proc says
  /// of its pid there: after unshare(2) or setns(2), until a child enters it. Source: pid_namespaces(7).
  [[nodiscard]] bool has_children_elsewhere() const;

  /// False for that of without_proc.
  [[nodiscard]] bool has_files() const { return root_ != kNone; }

  /// Whether this is the proc of the running kernel, so that other kernel interfaces speak of the same processes.
  [[nodiscard]] bool is_system() const { return root_ == kSystemRoot; }

  /// /proc/PID/stat in one open, one read, one close. Also a zombie has one.
  [[nodiscard]] sys::Result<core::ProcessStat> stat(pid_t pid) const;

  /// The children of all threads of a process, zombies included. Error: as for stat, and ENOENT as well when the
  /// kernel has no such files (see has_children_files).
  [[nodiscard]] sys::Result<std::vector<pid_t>> children(pid_t pid) const;

  /// The children of this process, which must have one thread only, a part at a time. Error: as for children().
  [[nodiscard]] sys::Result<ChildrenReader> own_children() const;

  /// Whether the kernel was built with CONFIG_PROC_CHILDREN (Linux 3.5).
  [[nodiscard]] bool has_children_files() const;

  /// Every descendant of `root`, zombies included, parents before children, `root` excluded. Reads only what belongs to
  /// the tree, or, without children files, the whole of /proc. What forks or is re-parented meanwhile may be missed:
  /// look again until nothing is found.
  [[nodiscard]] Listing descendants(pid_t root) const;

  /// Those of `firsts`, children of `root`, and their descendants. Needs the children files.
  [[nodiscard]] Listing descendants(pid_t root, const std::vector<pid_t>& firsts) const;

  /// Every process of this PID namespace that hidepid does not hide from us.
  [[nodiscard]] Listing all() const;

  /// The pids of those who are not in `seen`, which takes them in: for each pid the inode of its directory, by which
  /// one that is used again is told from its former owner (proc_pid_make_inode in fs/proc/base.c).
  [[nodiscard]] sys::Result<std::vector<pid_t>> newcomers(std::unordered_map<pid_t, ino_t>& seen) const;

  [[nodiscard]] sys::Result<SignalMasks> signal_masks(pid_t pid) const;

  [[nodiscard]] sys::Result<StatusFacts> status(pid_t pid) const;

  /// Empty when it can't be read; so are cmdline and wchan.
  [[nodiscard]] std::string comm(pid_t pid) const;

  /// Empty for zombies and kernel threads as well. Where a process has written a title over its arguments and nothing
  /// but empty arguments follow, only the title is returned.
  [[nodiscard]] std::vector<std::string> cmdline(pid_t pid) const;

  /// The kernel function that the process sleeps in; empty when it runs, or when the kernel does not tell us.
  [[nodiscard]] std::string wchan(pid_t pid) const;

  /// The environment of a process, entries that end in NUL each. Empty for kernel threads and in the middle of an exec.
  /// Errors: ESRCH for a zombie, EACCES for whom we may not look into, and to all but root (seen with Linux 6.18) for
  /// whoever has given up its memory on its way out.
  [[nodiscard]] sys::Result<std::string> environment(pid_t pid) const;

  /// `assignment` is "NAME=value", and has to match a whole entry. Between fork and exec a process shows its parent's
  /// environment, and one that writes a title may have overwritten its own.
  [[nodiscard]] EnvironMatch environ_has(pid_t pid, std::string_view assignment) const;

  /// See proc::is_in_exec; false for a process that is gone.
  [[nodiscard]] bool is_in_exec(pid_t pid) const;

  /// See proc::is_ending; true for a process that is gone.
  [[nodiscard]] bool is_ending(const core::ProcessId& id) const;

  /// A file to its end, or its first kTextLimit bytes. (Many files of /proc give at most 4 KiB a read.)
  [[nodiscard]] sys::Result<std::string> read(std::string_view path) const;

  /// Hands the lines of a file, without their newlines, to `consume` until it returns false or the file ends. A last
  /// line without a newline is cut short and left out. Stops silently where reading fails.
  void each_line(std::string_view path, const std::function<bool(std::string_view)>& consume) const;

  /// The entries of a directory whose names are numbers, at most `limit` of them.
  [[nodiscard]] sys::Result<std::vector<pid_t>> numbers_in(
      std::string_view path, std::size_t limit = std::numeric_limits<std::size_t>::max()) const;

  /// What a symbolic link says; empty when it can't be read.
  [[nodiscard]] std::string link(std::string_view path) const;

  /// Which file a link leads to, wherever that is, deleted files included; nullopt when we may not know.
  [[nodiscard]] std::optional<FileId> file_behind(std::string_view path) const;

 private:
  static constexpr const char* kSystemRoot = "/proc";
  static constexpr const char* kNone = "/dev/null";  ///< nothing is below it

  [[nodiscard]] std::string full_path(std::string_view path) const;
  [[nodiscard]] sys::Result<std::string> read_to_end(std::string_view path, bool short_is_end) const;
  /// Hands the entries of a directory whose names are numbers to `consume`, with their inodes, at most `limit` of them.
  [[nodiscard]] sys::Result<void> each_number(std::string_view path, std::size_t limit,
                                              const std::function<void(pid_t, ino_t)>& consume) const;
  [[nodiscard]] sys::Result<std::vector<pid_t>> children_of_thread(pid_t pid, pid_t thread) const;

  std::string root_;
};

}  // namespace reapctl::proc
