#include "engine/run_facts.hpp"

#include "proc/host.hpp"
#include "proc/origin.hpp"
#include "sys/descriptors.hpp"

#include <algorithm>
#include <array>
#include <climits>
#include <cstdint>
#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

namespace reapctl::engine {

std::string new_run_id() {
  constexpr char kDigits[] = "0123456789ABCDEF";
  std::array<unsigned char, 8> random{};
  // Eight bytes come whole once the pool is ready, and a machine that runs us is past that: getrandom(2).
  (void)!::getrandom(random.data(), random.size(), 0);
  std::string id;
  for (const unsigned char byte : random) {
    id += kDigits[byte >> 4U];
    id += kDigits[byte & 15U];
  }
  return id;
}

std::string cookie(const std::string& run_id) {
  return "REAPCTL_COOKIE_" + run_id + "=1";
}

core::Environment command_environment(const core::RunPlan& plan, const std::string& run_id,
                                      const std::optional<Workdir>& workdir) {
  core::Environment environment(::environ, "REAPCTL_OPT_");
  environment.set("REAPCTL_RUN_ID", run_id);
  environment.set("REAPCTL_NAME", plan.name);
  environment.set("REAPCTL_COOKIE_" + run_id, "1");
  environment.unset("REAPCTL_WORKDIR");  // that of an enclosing run is not this one's
  if (!workdir) return environment;
  environment.set("REAPCTL_WORKDIR", workdir->path);
  if (plan.workdir.use_as_tmp) {
    for (const char* name : {"TMPDIR", "TMP", "TEMP"}) environment.set(name, workdir->path);
  }
  return environment;
}

sys::Result<std::vector<int>> descriptors_to_close(const std::vector<int>& passed) {
  auto open = sys::open_descriptors();
  if (!open) return open.error();
  std::erase_if(*open, [&](int fd) {
    if (fd <= 2 || std::find(passed.begin(), passed.end(), fd) != passed.end()) return true;
    const int flags = ::fcntl(fd, F_GETFD);
    return flags < 0 || (flags & FD_CLOEXEC) != 0;  // ours, and what the caller would not have passed on anyway
  });
  return open;
}

void add_surroundings(const proc::ProcFs& proc, pid_t self, pid_t parent, core::RunReport& report) {
  report.host = proc::host_name(proc);
  report.boot_id = proc::boot_id(proc);
  report.origin = proc::read_origin(proc, {.self = self, .parent = parent, .uid = ::getuid()});
}

std::string current_directory() {
  std::array<char, PATH_MAX> path{};
  return ::getcwd(path.data(), path.size()) != nullptr ? std::string(path.data()) : std::string();
}

}  // namespace reapctl::engine
