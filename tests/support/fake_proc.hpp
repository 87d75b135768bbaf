#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <variant>

namespace reapctl::testing {

/// A symbolic link in a FakeProc; its target need not exist.
struct Link {
  std::string target;
};

/// One file of a FakeProc: its path, with the directories in between, and what is in it.
struct FakeFile {
  std::string path;
  std::variant<std::string, Link> content;
};

/// A proc file system made of plain files, written as one expression and removed at the end of its scope:
///   FakeProc proc{{"12/stat", "12 (sh) S 1 …"}, {"12/fd/3", Link{"socket:[7]"}}};
/// As with a kernel that has CONFIG_PROC_CHILDREN there is a thread-self/children; without_children_files takes it
/// away.
class FakeProc {
 public:
  FakeProc(std::initializer_list<FakeFile> files);
  ~FakeProc();
  FakeProc(const FakeProc&) = delete;
  FakeProc& operator=(const FakeProc&) = delete;

  FakeProc& without_children_files();

  /// Adds a file or writes over one.
  void put(const FakeFile& file) const;

  [[nodiscard]] const std::string& root() const { return root_; }

 private:
  std::string root_;
};

/// What a stat line says; the fields that reapctl does not use are filled in with something recognisable.
struct FakeStat {
  pid_t pid = 0;
  pid_t ppid = 0;
  std::string_view comm = "cmd";
  char state = 'S';
  int threads = 1;
  unsigned long long start_ticks = 500;
  unsigned long long environment_begin = 0;
  unsigned long long environment_end = 0;
};

/// The text of /proc/PID/stat.
[[nodiscard]] std::string stat_line(const FakeStat& stat);

}  // namespace reapctl::testing
