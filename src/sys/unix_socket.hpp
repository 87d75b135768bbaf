#pragma once

namespace reapctl::sys {

/// Whether `name` in the directory `parent_fd` is a socket that a living process has bound, so that unlinking it would
/// cut somebody off. Asks by connecting with a datagram socket: a bound stream socket refuses that for its type and a
/// bound datagram socket is not told of it, so its owner does not notice; a stale one answers ECONNREFUSED (unix(7),
/// connect(2)). Follows no link. One that may not be asked (EACCES) counts as bound.
[[nodiscard]] bool is_bound_socket(int parent_fd, const char* name);

}  // namespace reapctl::sys
