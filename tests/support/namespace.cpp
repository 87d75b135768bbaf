#include "support/namespace.hpp"

#include "support/tool.hpp"

#include <cstdio>
#include <sys/utsname.h>
#include <unistd.h>

namespace reapctl::test {

bool has_own_pid_max() {
  utsname system{};
  int major = 0;
  int minor = 0;
  return ::uname(&system) == 0 && std::sscanf(system.release, "%d.%d", &major, &minor) == 2 &&
         (major > 6 || (major == 6 && minor >= 14));
}

std::vector<std::string> pid_namespace() {
  std::vector<std::string> command{"unshare", "--pid", "--fork", "--kill-child", "--mount-proc"};
  if (::geteuid() != 0) command.insert(command.begin() + 1, {"--user", "--map-root-user"});
  if (has_own_pid_max()) {
    command.insert(command.end(), {"sh", "-c", "echo 8192 > /proc/sys/kernel/pid_max && exec \"$@\"", "sh"});
  }
  return command;
}

std::string storm_obstacle() {
  if (!has_own_pid_max()) return "a storm of processes could use up the pids of this machine (needs Linux 6.14)";
  return pid_namespace_obstacle();
}

std::string pid_namespace_obstacle() {
  std::vector<std::string> command = pid_namespace();
  command.emplace_back("true");
  return quiet_status(command) == 0 ? "" : "no PID namespace can be made here (unshare)";
}

}  // namespace reapctl::test
