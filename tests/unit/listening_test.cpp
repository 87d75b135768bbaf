#include "proc/listening.hpp"

#include "support/fake_proc.hpp"
#include "sys/unique_fd.hpp"

#include <arpa/inet.h>
#include <bit>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gmock/gmock.h>

namespace reapctl::proc {
namespace {

using ::testing::ElementsAre;
using testing::FakeProc;
using ::testing::IsEmpty;
using testing::Link;
using ::testing::UnorderedElementsAre;

const std::string kHeading =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

std::string row(std::string_view local, std::string_view state, int inode) {
  return "   0: " + std::string(local) + " 00000000:0000 " + std::string(state) +
         " 00000000:00000000 00:00000000 00000000     0        0 " + std::to_string(inode) + " 1 0 100 0 0 10 0\n";
}

/// The kernel prints addresses as numbers of the machine; the rows here are those of a little-endian one.
class Listening : public ::testing::Test {
 protected:
  void SetUp() override {
    if constexpr (std::endian::native != std::endian::little) GTEST_SKIP() << "rows of a little-endian machine";
  }
};

TEST_F(Listening, NamesAddressAndPort) {
  const FakeProc fake{
      {"net/tcp", kHeading + row("0100007F:18EB", "0A", 7) + row("00000000:0050", "0A", 8)},
      {"net/tcp6", kHeading + row("00000000000000000000000000000000:0050", "0A", 9) +
                       row("B80D0120000000000000000001000000:FFFF", "0A", 10)},
      {"12/fd/3", Link{"socket:[7]"}},
      {"12/fd/4", Link{"socket:[8]"}},
      {"12/fd/5", Link{"socket:[9]"}},
      {"12/fd/6", Link{"socket:[10]"}},
      {"12/fd/7", Link{"socket:[7]"}},
      {"12/fd/8", Link{"pipe:[7]"}},
      {"12/fd/9", Link{"socket:[7"}},
      {"13/fd/0", Link{"/dev/null"}},
  };
  const ListeningSockets sockets{ProcFs(fake.root())};
  EXPECT_THAT(sockets.of(12), ElementsAre("0.0.0.0:80", "127.0.0.1:6379", "[2001:db8::1]:65535", "[::]:80"));
  EXPECT_THAT(sockets.of(13), IsEmpty());
  EXPECT_THAT(sockets.of(14), IsEmpty());
}

TEST_F(Listening, StopsAtTheFirstRowThatDoesNotListen) {
  const FakeProc fake{
      {"net/tcp",
       kHeading + row("0100007F:0001", "0A", 7) + row("0100007F:0002", "01", 8) + row("0100007F:0003", "0A", 9)},
      {"12/fd/3", Link{"socket:[7]"}},
      {"12/fd/4", Link{"socket:[8]"}},
      {"12/fd/5", Link{"socket:[9]"}},
  };
  EXPECT_THAT(ListeningSockets(ProcFs(fake.root())).of(12), ElementsAre("127.0.0.1:1"));
}

TEST_F(Listening, PassesOverRowsItDoesNotUnderstand) {
  const FakeProc fake{
      {"net/tcp", kHeading + row("0100007F", "0A", 7) + row("0100007F:10000", "0A", 7) + row("0100007X:0001", "0A", 7) +
                      row("01:0001", "0A", 7) + row("0100007F:0004", "0A", 8) + "   9: 0100007F:0005 00000000:0000 0A"},
      {"12/fd/3", Link{"socket:[7]"}},
      {"12/fd/4", Link{"socket:[8]"}},
  };
  EXPECT_THAT(ListeningSockets(ProcFs(fake.root())).of(12), ElementsAre("127.0.0.1:4"));
}

TEST_F(Listening, KnowsWhetherAPortIsTakenByAnybody) {
  const FakeProc fake{{"net/tcp", kHeading + row("0100007F:0050", "0A", 7) + row("0100007F:0051", "01", 8)}};
  const ListeningSockets sockets(ProcFs(fake.root()));
  EXPECT_TRUE(sockets.may_listen_on_port_of("0.0.0.0:80"));
  EXPECT_TRUE(sockets.may_listen_on_port_of("[::1]:80"));
  EXPECT_FALSE(sockets.may_listen_on_port_of("127.0.0.1:81")) << "a connection";
  EXPECT_FALSE(sockets.may_listen_on_port_of("127.0.0.1:8"));
  const FakeProc nothing_known{{"12/comm", "x"}};
  EXPECT_TRUE(ListeningSockets(ProcFs(nothing_known.root())).may_listen_on_port_of("127.0.0.1:81"));
}

TEST_F(Listening, WithoutListenersNoDescriptorIsLookedAt) {
  const FakeProc fake{{"12/fd/3", Link{"socket:[7]"}}, {"net/tcp", kHeading}};
  EXPECT_THAT(ListeningSockets(ProcFs(fake.root())).of(12), IsEmpty());
}

TEST(ListeningLive, FindsAnIpv6Listener) {
  const sys::UniqueFd listener(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_addr = IN6ADDR_LOOPBACK_INIT;
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof address;
  if (::bind(listener.get(), generic, size) != 0 || ::listen(listener.get(), 1) != 0 ||
      ::getsockname(listener.get(), generic, &size) != 0) {
    GTEST_SKIP() << "no IPv6 here";
  }
  const std::string expected = "[::1]:" + std::to_string(ntohs(address.sin6_port));
  EXPECT_THAT(ListeningSockets(ProcFs()).of(::getpid()), ElementsAre(expected));
  EXPECT_THAT(ListeningSockets(ProcFs("/proc/.")).of(::getpid()), ElementsAre(expected));
}

TEST(ListeningLive, FindsARealListenerAmongConnections) {
  const sys::UniqueFd first(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sys::UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sys::UniqueFd second(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof address;
  if (::bind(first.get(), generic, size) != 0 || ::listen(first.get(), 1) != 0 ||
      ::getsockname(first.get(), generic, &size) != 0 || ::connect(client.get(), generic, size) != 0) {
    GTEST_SKIP() << "no loopback network here";
  }
  const int first_port = ntohs(address.sin_port);
  address.sin_port = 0;  // a listener younger than the connection
  ASSERT_EQ(::bind(second.get(), generic, size), 0);
  ASSERT_EQ(::listen(second.get(), 1), 0);
  ASSERT_EQ(::getsockname(second.get(), generic, &size), 0);

  const ProcFs proc;
  const ProcFs by_its_files("/proc/.");  // not the name of the system's own, so sock_diag is not asked
  for (const ProcFs& each : {proc, by_its_files}) {
    const auto found = ListeningSockets(each).of(::getpid());
    EXPECT_THAT(found, UnorderedElementsAre("127.0.0.1:" + std::to_string(first_port),
                                            "127.0.0.1:" + std::to_string(ntohs(address.sin_port))));
  }

  bool others = false;
  proc.each_line("net/tcp", [&](std::string_view line) {
    const bool listens = line.find(":0000 0A ") != std::string_view::npos;
    EXPECT_FALSE(others && listens) << "a listening row after one that does not: " << line;
    others = others || (!listens && line.find("local_address") == std::string_view::npos);
    return true;
  });
  EXPECT_TRUE(others) << "the connection was not listed";
}

}  // namespace
}  // namespace reapctl::proc
