#pragma once

#include "sys/result.hpp"
#include "sys/unique_fd.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <sys/types.h>
#include <vector>

namespace reapctl::sys {

/// Fills each of 0, 1 and 2 that is closed with /dev/null, close-on-exec: what we open must not land there, and the
/// command still finds them closed.
void occupy_standard_descriptors();

/// Whether `fd` is open.
[[nodiscard]] bool is_open(int fd);

/// Whether the descriptor is open for writing.
[[nodiscard]] bool is_writable(int fd);

/// The open descriptors of this process, in order. Errors: /proc is not there.
[[nodiscard]] Result<std::vector<int>> open_descriptors();

/// Whether poll(2) returns in time: one of `events` (POLLIN, …), the end of it, or an error. False early when a signal
/// comes that is not blocked.
[[nodiscard]] bool becomes_ready(int fd, std::uint32_t events, std::chrono::milliseconds within);

/// Whether it would return at once.
[[nodiscard]] bool is_ready(int fd, std::uint32_t events);

/// Another descriptor for the same open file, above 2, close-on-exec. Errors: EBADF, EMFILE.
[[nodiscard]] Result<UniqueFd> duplicate(int fd);

/// Takes O_APPEND, which sendfile(2) refuses, off an open file that has no position: a pipe, a socket or a terminal,
/// for all of whose users the flag means nothing. False if the flag was not set, or means something.
[[nodiscard]] bool stop_appending(int fd);

/// At most `limit` bytes of a file from `offset` on; less where it ends or cannot be read.
[[nodiscard]] std::string read_at(int fd, off_t offset, std::size_t limit);

/// A file in memory, without a name but for `label`, which /proc shows. Errors: EMFILE, ENOMEM; EACCES where
/// vm.memfd_noexec forbids it to a kernel that cannot make one that is never executed. Source: memfd_create(2).
[[nodiscard]] Result<UniqueFd> make_memory_file(const char* label);

/// Lets go of everything but `keep`: closes all descriptors from 3 on, and makes 0 and 1 refer to `harmless_fd`
/// unless they are to be kept; 2 stays, it is where messages go. Falls back from close_range(2) (Linux 5.9) to
/// /proc/self/fd. Errors: neither works.
[[nodiscard]] Result<void> release_inherited(std::vector<int> keep, int harmless_fd);

}  // namespace reapctl::sys
