#pragma once

#include "proc/proc_fs.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <set>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <unordered_map>
#include <vector>

namespace reapctl::proc {

/// The TCP sockets of our network namespace that listened when this was made: one look for many processes.
class ListeningSockets {
 public:
  /// How many descriptors of a process are looked at; a server opens its listening sockets early.
  static constexpr std::size_t kDescriptorLimit = 1024;

  /// Asks the kernel through sock_diag (15 us); the files /proc/net/tcp and tcp6 answer where it has none, or where
  /// `proc` is another root. They list the listening sockets first (net/ipv4/tcp_ipv4.c, tcp_seq_start) and are read up
  /// to the first row that does not listen, but with few connections their reader walks the whole connection table to
  /// find that row (1 ms for 262,144 buckets). Where neither can be read nothing is found.
  explicit ListeningSockets(const ProcFs& proc);

  /// "127.0.0.1:6379", "[::]:80": what the process holds open, sorted. Empty when its descriptors can't be read.
  [[nodiscard]] std::vector<std::string> of(pid_t pid) const;

  /// Inodes of the sockets that listen on a port.
  [[nodiscard]] std::set<std::uint64_t> on_port(int port) const;

  /// Inodes of all listening sockets that the process holds open. Errors: its descriptors can't be read.
  [[nodiscard]] sys::Result<std::set<std::uint64_t>> held_by(
      pid_t pid, std::size_t limit = std::numeric_limits<std::size_t>::max()) const;

  /// Whether any process listens on the port of `address` (as from `of`), on whatever address. True where nothing can
  /// be found out.
  [[nodiscard]] bool may_listen_on_port_of(std::string_view address) const;

 private:
  bool add_from_kernel();
  /// Whether it could be read.
  bool add_table(const std::string& path);
  bool add_row(std::string_view row);

  ProcFs proc_;
  bool known_ = true;
  std::unordered_map<std::uint64_t, std::string> address_of_inode_;
};

}  // namespace reapctl::proc
