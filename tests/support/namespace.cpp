#include "support/namespace.hpp"

#include "support/tool.hpp"

#include <unistd.h>

namespace reapctl::test {

std::vector<std::string> pid_namespace() {
  std::vector<std::string> command{"unshare", "--pid", "--fork", "--kill-child", "--mount-proc"};
  if (::geteuid() != 0) command.insert(command.begin() + 1, {"--user", "--map-root-user"});
  return command;
}

std::string pid_namespace_obstacle() {
  std::vector<std::string> command = pid_namespace();
  command.emplace_back("true");
  return quiet_status(command) == 0 ? "" : "no PID namespace can be made here (unshare)";
}

}  // namespace reapctl::test
