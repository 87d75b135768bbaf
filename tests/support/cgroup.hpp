#pragma once

#include "support/own_cgroup.hpp"

#include <string>
#include <sys/types.h>

/// Control groups (version 2) as a test sees them, with code of its own.
namespace reapctl::test {

/// Why no cgroup can be made below it; empty when one can.
[[nodiscard]] std::string cgroup_obstacle();

/// A cgroup below our own. Whoever is left in it at the end is killed, and it is removed with all below.
class TestCgroup {
 public:
  TestCgroup();
  ~TestCgroup();
  TestCgroup(const TestCgroup&) = delete;
  TestCgroup& operator=(const TestCgroup&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  /// Gives it to a user, as a service manager delegates one: cgroups(7).
  void delegate(uid_t uid) const;

 private:
  std::string path_;
};

/// Moves a process into a cgroup; false if the kernel refuses.
[[nodiscard]] bool enter_cgroup(const std::string& cgroup, pid_t pid);

/// The directory of the cgroup of a run, or one below that, that the process is in. The run was started in our cgroup.
[[nodiscard]] std::string cgroup_directory_of(pid_t pid);

/// A process that no run has started, in a session of its own. It ends on SIGTERM, and with this object.
class Outsider {
 public:
  Outsider();
  ~Outsider();
  Outsider(const Outsider&) = delete;
  Outsider& operator=(const Outsider&) = delete;
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_;
};

}  // namespace reapctl::test

/// Skips the test visibly where this user can make no cgroup.
#define REQUIRE_CGROUP() \
  if (const std::string obstacle = ::reapctl::test::cgroup_obstacle(); !obstacle.empty()) GTEST_SKIP() << obstacle
