#include "engine/run_facts.hpp"

#include "core/redact.hpp"
#include "engine/registry.hpp"
#include "proc/host.hpp"
#include "proc/origin.hpp"
#include "sys/descriptors.hpp"

#include <algorithm>
#include <array>
#include <climits>
#include <csignal>
#include <cstdint>
#include <fcntl.h>
#include <string_view>
#include <sys/random.h>
#include <sys/stat.h>
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
  // What is started inside of this run looks where this run does.
  if (!plan.registry.empty()) environment.set("REAPCTL_REGISTRY", plan.registry);
  environment.unset("REAPCTL_WORKDIR");  // that of an enclosing run is not this one's
  if (!workdir) return environment;
  environment.set("REAPCTL_WORKDIR", workdir->path);
  if (plan.workdir.use_as_tmp) {
    for (const char* name : {"TMPDIR", "TMP", "TEMP"}) environment.set(name, workdir->path);
  }
  return environment;
}

std::vector<std::string> enclosing_runs(const char* const* environment) {
  constexpr std::string_view kPrefix = "REAPCTL_COOKIE_";
  constexpr std::string_view kSuffix = "=1";
  std::vector<std::string> ids;
  for (; *environment != nullptr; ++environment) {
    const std::string_view entry = *environment;
    if (!entry.starts_with(kPrefix) || !entry.ends_with(kSuffix)) continue;
    const std::string_view id = entry.substr(kPrefix.size(), entry.size() - kPrefix.size() - kSuffix.size());
    if (is_run_id(id)) ids.emplace_back(id);
  }
  return ids;
}

core::RunRecord initial_record(const proc::ProcFs& proc, const core::RunPlan& plan, const core::RunReport& report) {
  core::RunRecord record;
  const Here here = read_here(proc);
  record.run_id = report.run_id;
  record.enclosing = enclosing_runs(::environ);
  record.name = plan.name;
  record.argv = core::redact_args(plan.argv, plan.report_args);
  record.uid = ::geteuid();
  record.boot_id = here.boot_id;
  record.pid_namespace = here.pid_namespace;
  record.mount_namespace = here.mount_namespace;
  record.supervisor.pid = ::getpid();
  if (const auto self = proc.stat(::getpid())) record.supervisor = self->id;
  if (plan.stop_on.contains(SIGTERM)) {
    record.stop_signal = SIGTERM;
  } else if (!plan.stop_on.empty()) {
    record.stop_signal = *plan.stop_on.begin();
  }
  if (plan.workdir.wanted) {
    record.workdir = core::WorkdirOnRecord{.path = workdir_path(plan.workdir.base, report.run_id),
                                           .keep = plan.workdir.keep != core::KeepWorkdir::never,
                                           .identity = {}};
  }
  for (const std::string& path : plan.remove_paths) {
    struct stat parent {};
    const std::string directory = path.substr(0, path.rfind('/') + 1);
    if (::stat(directory.c_str(), &parent) != 0)
      continue;  // not there now: what comes to be there is not ours for sure
    record.remove.push_back({.path = path, .parent_device = parent.st_dev, .parent_inode = parent.st_ino});
  }
  if (plan.lock) record.lock_name = plan.lock->name;
  record.ladder = plan.rules.ladder;
  record.started_at = report.started_at;
  return record;
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
