#include "sys/terminal.hpp"

#include "sys/unique_fd.hpp"

#include <fcntl.h>

namespace reapctl::sys {

bool has_controlling_terminal() {
  return UniqueFd(::open("/dev/tty", O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)).valid();
}

}  // namespace reapctl::sys
