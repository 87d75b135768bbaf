#pragma once

#include "core/report.hpp"
#include "proc/proc_fs.hpp"
#include "sys/passwd.hpp"

#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace reapctl::proc {

/// The value of an environment variable or null; std::getenv is one.
using EnvironmentLookup = std::function<const char*(const char* name)>;

/// Whose origin is asked for, and where to look it up.
struct OriginSource {
  pid_t self = 0;
  pid_t parent = 0;  ///< getppid(2): 0 when the parent is in an outer PID namespace
  uid_t uid = 0;
  std::string passwd_path = sys::kPasswdPath;
  EnvironmentLookup environment = std::getenv;
};

/// Who started `source.self`. What can't be found out stays empty.
[[nodiscard]] core::Origin read_origin(const ProcFs& proc, const OriginSource& source);

/// "pts/3", "tty1", "ttyS0", "console" for the tty_nr of proc_pid_stat(5); "188:0" for a driver that has no fixed
/// number; empty for 0, no terminal. Source: Documentation/admin-guide/devices.txt of the kernel.
[[nodiscard]] std::string tty_name(int tty_nr);

/// The unit in a /proc/PID/cgroup: the innermost .service or .scope, else the innermost .slice, else empty. Where both
/// cgroup versions are mounted, systemd's own v1 hierarchy has the word.
[[nodiscard]] std::string systemd_unit(std::string_view cgroup);

/// One line that leads back to the job of a CI system: "github-actions owner/repo run 12 job build"; "ci" for one that
/// sets CI only; empty outside.
[[nodiscard]] std::string ci_job(const EnvironmentLookup& environment);

}  // namespace reapctl::proc
