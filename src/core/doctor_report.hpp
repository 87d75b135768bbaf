#pragma once

#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

/// What reapctl can do on a machine for a user, as plain values in the order in which they are printed.
namespace reapctl::core {

/// Something of the kernel, or of how the machine is set up.
struct DoctorFeature {
  std::string name;
  std::optional<bool> works;  ///< nullopt: that cannot be told here
  std::string since;          ///< "Linux 5.14"; empty when it is no matter of version
  std::string purpose;        ///< what it is good for, or what it means that it does not work
};

struct DoctorReport {
  std::string kernel;  ///< "6.1.0"
  uid_t uid = 0;
  std::string user;
  bool auto_takes_cgroup = false;
  std::string auto_why;
  std::string subreaper_problem;                ///< empty: it works; likewise the other problems
  std::string cgroup_directory;                 ///< below which a run has its cgroup; empty when there is no such place
  std::vector<std::string> cgroup_controllers;  ///< whose figures a run has
  std::string cgroup_problem;
  std::string cgroup_remedy;
  std::string guard_problem;
  std::string registry_directory;
  std::string registry_problem;
  std::vector<DoctorFeature> features;
  std::vector<std::string> warnings;
};

}  // namespace reapctl::core
