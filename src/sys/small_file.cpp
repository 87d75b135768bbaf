#include "sys/small_file.hpp"

#include "sys/directory.hpp"

#include <cstdio>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace reapctl::sys {
namespace {

Result<void> write_all(int fd, std::string_view text, const char* name) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return last_error("write", name);
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

}  // namespace

Result<std::string> read_small_file(int directory_fd, const char* name, uid_t owner, std::size_t limit) {
  const auto opened = open_file(directory_fd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!opened) return opened.error();
  const int fd = opened->get();
  struct stat status {};
  if (::fstat(fd, &status) != 0) return last_error("stat", name);
  if (!S_ISREG(status.st_mode)) return Error{.code = EINVAL, .operation = "read", .subject = name};
  if (status.st_uid != owner) return Error{.code = EPERM, .operation = "trust", .subject = name};
  if (status.st_size > static_cast<off_t>(limit)) return Error{.code = EFBIG, .operation = "read", .subject = name};
  // One byte more than there is, so that a file that grows meanwhile is noticed.
  std::string text(static_cast<std::size_t>(status.st_size) + 1, '\0');
  std::size_t length = 0;
  while (length < text.size()) {
    const ssize_t count = ::read(fd, text.data() + length, text.size() - length);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return last_error("read", name);
    if (count == 0) break;
    length += static_cast<std::size_t>(count);
  }
  if (length == text.size()) return Error{.code = EAGAIN, .operation = "read", .subject = name};
  text.resize(length);
  return text;
}

Result<UniqueFd> replace_small_file(int directory_fd, const char* name, const char* fresh, std::string_view text) {
  constexpr int kFlags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  UniqueFd file(::openat(directory_fd, fresh, kFlags, 0600));
  if (!file.valid() && errno == EEXIST && ::unlinkat(directory_fd, fresh, 0) == 0) {
    file.reset(::openat(directory_fd, fresh, kFlags, 0600));
  }
  if (!file.valid()) return last_error("create", fresh);
  Result<void> written = write_all(file.get(), text, fresh);
  if (written && ::renameat(directory_fd, fresh, directory_fd, name) != 0) written = last_error("replace", name);
  if (written) return file;
  (void)::unlinkat(directory_fd, fresh, 0);  // the first error is the one to tell
  return written.error();
}

}  // namespace reapctl::sys
