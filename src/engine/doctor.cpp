#include "engine/doctor.hpp"

#include "engine/census.hpp"
#include "engine/containment.hpp"
#include "engine/registration.hpp"
#include "engine/run_facts.hpp"
#include "sys/cgroup.hpp"
#include "sys/children.hpp"
#include "sys/clone.hpp"
#include "sys/passwd.hpp"
#include "sys/pid_fd.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

namespace reapctl::engine {
namespace {

/// A process that is born in the cgroup and ends at once.
sys::Result<void> start_process_in(const RunCgroup& cgroup) {
  alignas(16) static std::array<std::byte, 16 * 1024> stack;
  auto child = sys::clone_child_into(
      cgroup.fd(), [](void*) { return 0; }, nullptr, stack);
  if (!child) {
    sys::Error error = child.error();
    error.subject = cgroup.path();
    return error;
  }
  sys::wait_and_reap(child->pid);
  return {};
}

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find_first_of(" \n", at), text.size());
    if (end > at) words.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

class Examination {
 public:
  Examination(const proc::ProcFs& proc, const RegistryPlaces& places, const core::RecordCodec& codec)
      : proc_(proc), places_(places), codec_(codec) {}

  core::DoctorReport run() {
    user_and_kernel();
    subreaper();
    containment();
    guard();
    registry();
    features();
    return std::move(report_);
  }

 private:
  void user_and_kernel() {
    utsname system{};
    if (::uname(&system) == 0) report_.kernel = system.release;
    report_.uid = ::geteuid();
    report_.user = sys::user_name(report_.uid);
  }

  void subreaper() {
    if (::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) {
      report_.subreaper_problem = "cannot " + sys::last_error("become a child subreaper").message();
    }
  }

  void containment() {
    auto ground = find_cgroup_ground(proc_);
    if (!ground) {
      no_cgroup(ground.error());
      return;
    }
    report_.cgroup_directory = ground->path;
    auto cgroup = RunCgroup::make(ground.take(), new_run_id());
    if (!cgroup) {
      no_cgroup(cgroup.error());
      return;
    }
    const auto started = start_process_in(*cgroup);
    if (const auto controllers = sys::read_control(cgroup->fd(), "cgroup.controllers")) {
      report_.cgroup_controllers = words_of(*controllers);
    }
    has_cgroup_kill_ = ::faccessat(cgroup->fd(), "cgroup.kill", F_OK, 0) == 0;
    cgroup->await_empty(core::TimePoint::max());  // within a second
    if (const auto removed = cgroup->remove_some(); !removed) {
      report_.warnings.push_back("left behind: cannot " + removed.error().message());
    }
    if (!started) {
      no_cgroup(started.error());
      return;
    }
    report_.auto_takes_cgroup = true;
    report_.auto_why = "a cgroup can be had below " + report_.cgroup_directory;
  }

  void no_cgroup(const sys::Error& error) {
    report_.cgroup_problem = "cannot " + error.message();
    report_.cgroup_remedy = cgroup_remedy(error);
    report_.auto_why = "no cgroup can be had: " + report_.cgroup_problem;
  }

  void guard() {
    if (::getpid() == 1) report_.guard_problem = "not needed as PID 1: when it ends, the kernel kills everybody else";
  }

  void registry() {
    {
      auto registry = Registry::open_for_writing(places_, report_.warnings);
      if (!registry) {
        report_.registry_problem = "cannot " + registry.error().message();
        return;
      }
      report_.registry_directory = registry->path();
    }
    std::vector<std::string> warnings;
    Registration trial(places_, codec_, warnings);
    trial.open(new_run_id());
    trial.remove();
    if (!warnings.empty()) report_.registry_problem = warnings.front();
  }

  void features() {
    add("pidfd_open", sys::open_pid_fd(::getpid()).ok(), "Linux 5.3", "signals that no recycled pid can lead astray");
    const int clone_error = sys::clone_into_cgroup_error();
    add("clone3", clone_error != ENOSYS && clone_error != EPERM, "Linux 5.3",
        "seccomp filters of containers may hide it");
    add("clone_into_cgroup", clone_error == 0, "Linux 5.7", "a process is born in its cgroup");
    add("cgroup.kill", has_cgroup_kill_, "Linux 5.14", "one write kills a cgroup; else it is frozen and killed");
    add("close_range", ::syscall(SYS_close_range, UINT_MAX, UINT_MAX, 0) == 0, "Linux 5.9",
        "lets go of many descriptors at once");
    open_how how{};
    how.flags = O_PATH | O_CLOEXEC;
    const sys::UniqueFd opened(static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof how)));
    add("openat2", opened.valid(), "Linux 5.6", "deletes without touching what is mounted inside");
    add("children_file", proc_.has_children_files(), {}, "finds the tree without reading all of /proc");
    const bool own_proc = proc::ProcFs::is_usable();
    add("own_proc", own_proc, {}, "/proc belongs to this PID namespace; else nothing can be found");
    add("all_processes_visible", own_proc && !hides_processes(proc_), {},
        "with hidepid a sweep says that its census is incomplete");
    add("environ", ::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1 && proc_.read("self/environ").ok(), {}, environ_purpose());
  }

  /// Yama restricts who may attach to a process, and not who may read its environment; people ask all the same.
  std::string environ_purpose() const {
    std::string purpose = "processes are dumpable: a sweep can read their environment";
    const auto scope = proc_.read("sys/kernel/yama/ptrace_scope");
    if (scope) purpose += " (yama ptrace_scope " + scope->substr(0, scope->find('\n')) + " does not matter)";
    return purpose;
  }

  void add(const char* name, std::optional<bool> works, const char* since, std::string purpose) {
    report_.features.push_back(
        {.name = name, .works = works, .since = since != nullptr ? since : "", .purpose = std::move(purpose)});
  }

  const proc::ProcFs& proc_;
  const RegistryPlaces& places_;
  const core::RecordCodec& codec_;
  std::optional<bool> has_cgroup_kill_;
  core::DoctorReport report_;
};

}  // namespace

core::DoctorReport examine(const proc::ProcFs& proc, const RegistryPlaces& places, const core::RecordCodec& codec) {
  return Examination(proc, places, codec).run();
}

}  // namespace reapctl::engine
