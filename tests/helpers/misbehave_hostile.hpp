#pragma once

#include <string_view>
#include <sys/types.h>

/// Steps of misbehave that are aimed at whoever wants to be rid of it.
namespace misbehave {

/// So many lines of processes that fork and exit for ever; with `sessions` each in a session of its own.
void start_chains(std::string_view count, bool sessions);

/// Threads that do nothing.
void start_threads(std::string_view count);

/// Takes flock(2) of a file, which it makes, and keeps it.
void hold_lock(std::string_view path);

/// From /proc; kills nobody if it cannot be read: ends the process.
[[nodiscard]] pid_t parent_of(pid_t pid);

/// A child that stops `pid` every millisecond.
void keep_stopping(pid_t pid);

/// Writes `pid` into DIRECTORY/cgroup.procs.
void enter_cgroup(std::string_view directory, pid_t pid);

/// Serves DIRECTORY for the user who owns it, as FUSE does, and answers nobody who looks into it. Needs root.
void serve_nothing_at(std::string_view directory);

/// "FILE:TEXT".
void write_into(std::string_view spec);

}  // namespace misbehave
