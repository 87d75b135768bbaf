#include "sys/unix_socket.hpp"

#include "sys/unique_fd.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <string>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace reapctl::sys {

bool is_bound_socket(int parent_fd, const char* name) {
  const UniqueFd named(::openat(parent_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat status {};
  if (!named.valid() || ::fstat(named.get(), &status) != 0 || !S_ISSOCK(status.st_mode)) return false;
  const UniqueFd probe(::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!probe.valid()) return true;
  // By descriptor: the file cannot be exchanged meanwhile, and a long path fits into the address.
  const std::string path = "/proc/self/fd/" + std::to_string(named.get());
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::copy(path.begin(), path.end(), address.sun_path);
  const int failed = ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  return failed == 0 || (errno != ECONNREFUSED && errno != ENOENT);
}

}  // namespace reapctl::sys
