#include "sys/file_lock.hpp"

#include <fcntl.h>
#include <unistd.h>

namespace reapctl::sys {
namespace {

struct flock whole_file() {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

}  // namespace

Result<void> take_lock(int fd) {
  struct flock lock = whole_file();
  if (::fcntl(fd, F_OFD_SETLK, &lock) != 0) return last_error("lock");
  return {};
}

void release_lock(int fd) {
  struct flock lock = whole_file();
  lock.l_type = F_UNLCK;
  (void)::fcntl(fd, F_OFD_SETLK, &lock);  // cannot fail: it splits no range
}

Result<bool> is_locked(int fd) {
  struct flock lock = whole_file();
  if (::fcntl(fd, F_OFD_GETLK, &lock) != 0) return last_error("probe the lock");
  return lock.l_type != F_UNLCK;
}

}  // namespace reapctl::sys
