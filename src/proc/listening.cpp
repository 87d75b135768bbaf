#include "proc/listening.hpp"

#include "sys/socket_diag.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <charconv>
#include <cstddef>
#include <netinet/in.h>
#include <optional>
#include <system_error>
#include <utility>

namespace reapctl::proc {
namespace {

constexpr std::string_view kListen = "0A";  // TCP_LISTEN, include/net/tcp_states.h

template <class Number>
std::optional<Number> to_number(std::string_view text, int base) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// `address` in network order, four or sixteen bytes of it.
std::optional<std::string> endpoint(int family, const void* address, std::uint16_t port) {
  std::array<char, INET6_ADDRSTRLEN> name{};
  if (::inet_ntop(family, address, name.data(), name.size()) == nullptr) return std::nullopt;
  const std::string host = family == AF_INET6 ? "[" + std::string(name.data()) + "]" : std::string(name.data());
  return host + ":" + std::to_string(port);
}

/// "0100007F:18EB" as "127.0.0.1:6379". The kernel prints each 32 bits of the address, which it holds in network order,
/// as one number of the machine: stored back as such they are in network order again. The port is a plain number.
std::optional<std::string> readable_address(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto port = to_number<std::uint16_t>(text.substr(colon + 1), 16);
  const std::string_view digits = text.substr(0, colon);
  if (!port || (digits.size() != 8 && digits.size() != 32)) return std::nullopt;

  std::array<std::uint32_t, 4> address{};
  for (std::size_t i = 0; i < digits.size() / 8; ++i) {
    const auto part = to_number<std::uint32_t>(digits.substr(i * 8, 8), 16);
    if (!part) return std::nullopt;
    address.at(i) = *part;
  }
  return endpoint(digits.size() == 32 ? AF_INET6 : AF_INET, address.data(), *port);
}

std::string_view port_of(std::string_view address) {
  return address.substr(address.rfind(':') + 1);
}

/// 7 for "socket:[7]".
std::optional<std::uint64_t> socket_inode(std::string_view target) {
  constexpr std::string_view kPrefix = "socket:[";
  if (!target.starts_with(kPrefix) || !target.ends_with(']')) return std::nullopt;
  target.remove_prefix(kPrefix.size());
  target.remove_suffix(1);
  return to_number<std::uint64_t>(target, 10);
}

}  // namespace

ListeningSockets::ListeningSockets(const ProcFs& proc) : proc_(proc) {
  if (proc_.is_system() && add_from_kernel()) return;
  known_ = add_table("net/tcp");
  (void)add_table("net/tcp6");  // may be missing where there is no IPv6
}

bool ListeningSockets::add_from_kernel() {
  const auto sockets = sys::listening_tcp_sockets();
  if (!sockets) return false;
  for (const sys::ListeningSocket& socket : *sockets) {
    auto address = endpoint(socket.family, socket.address.data(), socket.port);
    if (address) address_of_inode_.emplace(socket.inode, *std::move(address));
  }
  return true;
}

bool ListeningSockets::add_table(const std::string& path) {
  bool heading = true;
  proc_.each_line(path, [&](std::string_view row) {
    if (std::exchange(heading, false)) return true;
    return add_row(row);
  });
  return !heading;
}

/// sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode …; false at the first that listens no more.
bool ListeningSockets::add_row(std::string_view row) {
  (void)take_word(row);
  const std::string_view local = take_word(row);
  (void)take_word(row);
  if (take_word(row) != kListen) return false;
  for (int skipped = 0; skipped < 5; ++skipped) (void)take_word(row);
  const auto inode = to_number<std::uint64_t>(take_word(row), 10);
  auto address = readable_address(local);
  if (inode && address) address_of_inode_.emplace(*inode, *std::move(address));
  return true;
}

sys::Result<std::set<std::uint64_t>> ListeningSockets::held_by(pid_t pid, std::size_t limit) const {
  const std::string directory = std::to_string(pid) + "/fd";
  const auto descriptors = proc_.numbers_in(directory, limit);
  if (!descriptors) return descriptors.error();
  std::set<std::uint64_t> held;
  for (const int descriptor : *descriptors) {
    const auto inode = socket_inode(proc_.link(directory + "/" + std::to_string(descriptor)));
    if (inode && address_of_inode_.contains(*inode)) held.insert(*inode);
  }
  return held;
}

std::set<std::uint64_t> ListeningSockets::on_port(int port) const {
  const std::string suffix = ":" + std::to_string(port);
  std::set<std::uint64_t> inodes;
  for (const auto& [inode, address] : address_of_inode_) {
    if (address.ends_with(suffix)) inodes.insert(inode);
  }
  return inodes;
}

bool ListeningSockets::may_listen_on_port_of(std::string_view address) const {
  const std::string_view port = port_of(address);
  return !known_ || std::any_of(address_of_inode_.begin(), address_of_inode_.end(),
                                [port](const auto& socket) { return port_of(socket.second) == port; });
}

std::vector<std::string> ListeningSockets::of(pid_t pid) const {
  std::vector<std::string> addresses;
  if (address_of_inode_.empty()) return addresses;
  const auto held = held_by(pid, kDescriptorLimit);
  if (!held) return addresses;
  for (const std::uint64_t inode : *held) addresses.push_back(address_of_inode_.at(inode));
  std::sort(addresses.begin(), addresses.end());
  addresses.erase(std::unique(addresses.begin(), addresses.end()), addresses.end());
  return addresses;
}

}  // namespace reapctl::proc
