#pragma once

#include "core/doctor_report.hpp"
#include "core/record.hpp"
#include "engine/registry.hpp"
#include "proc/proc_fs.hpp"

namespace reapctl::engine {

/// Tries what a run would do: makes a cgroup, starts a process in it and removes it; takes a place in the registry and
/// gives it up. This process becomes a child subreaper.
[[nodiscard]] core::DoctorReport examine(const proc::ProcFs& proc, const RegistryPlaces& places,
                                         const core::RecordCodec& codec);

}  // namespace reapctl::engine
