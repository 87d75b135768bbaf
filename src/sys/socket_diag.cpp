#include "sys/socket_diag.hpp"

#include "sys/unique_fd.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <optional>
#include <string_view>
#include <sys/socket.h>

namespace reapctl::sys {
namespace {

struct Request {
  nlmsghdr header;
  inet_diag_req_v2 body;
};

/// What lies at the front of `bytes`, if it is all there.
template <class T>
std::optional<T> front_of(std::string_view bytes) {
  if (bytes.size() < sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

Result<void> send_request(int netlink, int family) {
  Request request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.body.sdiag_family = static_cast<std::uint8_t>(family);
  request.body.sdiag_protocol = IPPROTO_TCP;
  request.body.idiag_states = 1U << TCP_LISTEN;
  if (::send(netlink, &request, sizeof request, 0) < 0) return last_error("send", "sock_diag");
  return {};
}

void add(std::vector<ListeningSocket>& sockets, const inet_diag_msg& message) {
  ListeningSocket socket{
      .inode = message.idiag_inode, .family = message.idiag_family, .port = ntohs(message.id.idiag_sport)};
  static_assert(sizeof socket.address == sizeof message.id.idiag_src);
  std::memcpy(socket.address.data(), &message.id.idiag_src, socket.address.size());
  sockets.push_back(socket);
}

/// Reads the answer to one request up to its NLMSG_DONE, netlink(7).
Result<void> receive_answer(int netlink, std::vector<ListeningSocket>& sockets) {
  std::array<char, 32768> buffer;  // left as it is: filled by recv; a dump never sends more at once
  for (;;) {
    const ssize_t count = ::recv(netlink, buffer.data(), buffer.size(), MSG_TRUNC);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return last_error("recv", "sock_diag");
    if (static_cast<std::size_t>(count) > buffer.size()) {
      return Error{.code = EMSGSIZE, .operation = "recv", .subject = "sock_diag"};
    }
    std::string_view rest(buffer.data(), static_cast<std::size_t>(count));
    while (const auto header = front_of<nlmsghdr>(rest)) {
      if (header->nlmsg_len < NLMSG_HDRLEN || header->nlmsg_len > rest.size()) break;
      const std::string_view body = rest.substr(NLMSG_HDRLEN, header->nlmsg_len - NLMSG_HDRLEN);
      rest.remove_prefix(std::min<std::size_t>(NLMSG_ALIGN(header->nlmsg_len), rest.size()));
      if (header->nlmsg_type == NLMSG_DONE) return {};
      if (header->nlmsg_type == NLMSG_ERROR) {
        const auto error = front_of<nlmsgerr>(body);
        return Error{.code = error ? -error->error : EPROTO, .operation = "ask", .subject = "sock_diag"};
      }
      if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY) continue;
      if (const auto message = front_of<inet_diag_msg>(body)) add(sockets, *message);
    }
  }
}

}  // namespace

Result<std::vector<ListeningSocket>> listening_tcp_sockets() {
  const UniqueFd netlink(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!netlink.valid()) return last_error("socket", "sock_diag");
  // Connected to the kernel (port 0), the socket takes no message from another process.
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  if (::connect(netlink.get(), reinterpret_cast<const sockaddr*>(&kernel), sizeof kernel) != 0) {
    return last_error("connect", "sock_diag");
  }
  std::vector<ListeningSocket> sockets;
  for (const int family : {AF_INET, AF_INET6}) {
    if (auto sent = send_request(netlink.get(), family); !sent) return sent.error();
    if (auto received = receive_answer(netlink.get(), sockets); !received) return received.error();
  }
  return sockets;
}

}  // namespace reapctl::sys
