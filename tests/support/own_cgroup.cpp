#include "support/own_cgroup.hpp"

#include <fstream>
#include <sstream>

namespace reapctl::test {

std::string own_cgroup() {
  std::string path;
  std::ifstream memberships("/proc/self/cgroup");
  for (std::string line; std::getline(memberships, line);) {
    if (line.rfind("0::/", 0) == 0) path = line.substr(3);
  }
  std::ifstream mounts("/proc/self/mountinfo");
  for (std::string line; !path.empty() && std::getline(mounts, line);) {
    std::istringstream fields(line);
    std::string skipped, root, mount_point;
    fields >> skipped >> skipped >> skipped >> root >> mount_point;
    if (root == "/" && line.find(" - cgroup2 ") != std::string::npos)
      return path == "/" ? mount_point : mount_point + path;
  }
  return {};
}

}  // namespace reapctl::test
