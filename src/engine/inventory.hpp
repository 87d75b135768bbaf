#pragma once

#include "core/run_list.hpp"
#include "engine/registry.hpp"
#include "proc/proc_fs.hpp"

#include <functional>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace reapctl::engine {

/// All runs in `registries`, with the processes that belong to each. Signals nobody and takes no lock. Without a run
/// that could have processes it does not look at any.
[[nodiscard]] core::RunList take_inventory(const proc::ProcFs& proc, std::vector<Registry> registries,
                                           const core::RecordCodec& codec);

/// The processes that listen on a TCP port.
[[nodiscard]] std::vector<core::ProcessDetails> listeners_on(const proc::ProcFs& proc, int port);

/// The run that a process belongs to, as an index in `list`; nullopt if it belongs to none. A run's own reapctl
/// processes belong to it.
[[nodiscard]] std::optional<std::size_t> run_of_process(const core::RunList& list, pid_t pid);

}  // namespace reapctl::engine
