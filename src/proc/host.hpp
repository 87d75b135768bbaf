#pragma once

#include "proc/proc_fs.hpp"

#include <chrono>
#include <string>

namespace reapctl::proc {

/// The name of this machine or container; empty when it can't be read.
[[nodiscard]] std::string host_name(const ProcFs& proc);

/// What is in the file of machine-id(5), or where there is none yet (a container, an image at its first boot) the name
/// of the host.
[[nodiscard]] std::string machine_id(const ProcFs& proc, const std::string& path = "/etc/machine-id");

/// The UUID that the kernel draws at boot, random(4); empty when it can't be read.
[[nodiscard]] std::string boot_id(const ProcFs& proc);

/// Now on CLOCK_BOOTTIME, on which start ticks are counted; time spent suspended included.
[[nodiscard]] std::chrono::nanoseconds since_boot();

}  // namespace reapctl::proc
