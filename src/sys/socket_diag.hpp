#pragma once

#include "sys/result.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace reapctl::sys {

/// A TCP socket in state LISTEN.
struct ListeningSocket {
  std::uint64_t inode = 0;              ///< as in the link "socket:[inode]" of /proc/PID/fd
  int family = 0;                       ///< AF_INET or AF_INET6
  std::array<std::byte, 16> address{};  ///< in network order; AF_INET uses the first four
  std::uint16_t port = 0;
};

/// Every listening TCP socket of our network namespace, sock_diag(7). The kernel is asked for that state alone and
/// looks only where such sockets are kept. Error: the first of socket, connect, send, recv that fails; ENOENT from a
/// kernel without inet_diag.
[[nodiscard]] Result<std::vector<ListeningSocket>> listening_tcp_sockets();

}  // namespace reapctl::sys
