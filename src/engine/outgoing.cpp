#include "engine/outgoing.hpp"

#include "sys/descriptors.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <fcntl.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

namespace reapctl::engine {
namespace {

/// For poll(2): -1 waits for ever, and what is left of a millisecond counts as one.
int milliseconds_until(const std::optional<core::TimePoint>& until) {
  if (!until) return -1;
  const auto left = std::chrono::ceil<core::Millis>(*until - core::Clock::now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, INT_MAX));
}

sys::Result<void> await_room(int fd, const GiveUp& give_up) {
  int asker = give_up.fd;
  std::optional<core::TimePoint> until = give_up.until;
  const auto wait_alone = [&until] {
    const core::TimePoint last = core::Clock::now() + kPatienceWithReader;
    until = until ? std::min(*until, last) : last;
  };
  if (give_up.alone) wait_alone();
  for (;;) {
    pollfd ready[2] = {{.fd = fd, .events = POLLOUT, .revents = 0}, {.fd = asker, .events = POLLIN, .revents = 0}};
    const int count = ::poll(ready, 2, milliseconds_until(until));
    if (count < 0 && errno != EINTR) return sys::last_error("poll");
    if (count <= 0 && until && core::Clock::now() >= *until) {
      return sys::Error{.code = ETIMEDOUT, .operation = "write", .subject = {}};
    }
    if (count <= 0) continue;
    if (ready[0].revents != 0) return {};
    const Asked asked = give_up.asked();
    if (asked == Asked::yes) return sys::Error{.code = EINTR, .operation = "write", .subject = {}};
    if (asked == Asked::nobody_left) {
      asker = -1;
      wait_alone();
    }
  }
}

bool is_regular(int fd) {
  struct stat status {};
  return ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

/// Where the next write(2) to a regular file puts its bytes, or behind that if others append as well.
off_t next_place(int fd) {
  struct stat status {};
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags >= 0 && (flags & O_APPEND) == 0) return ::lseek(fd, 0, SEEK_CUR);
  return ::fstat(fd, &status) == 0 ? status.st_size : 0;
}

/// How much of `block` has come into a regular file at `since` or later. A part of it (SIGKILL can end a write(2)
/// between two pages) is recognised where nobody else has written meanwhile. A file that may not be read tells by its
/// position, for as long as nobody else writes by the same description: write(2) leaves it behind what was written.
std::size_t found_in(int fd, off_t since, std::string_view block) {
  constexpr std::size_t kFarthest = 1U << 20U;  // of what others have appended since
  const sys::UniqueFd file(::open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_RDONLY | O_CLOEXEC));
  const auto size = static_cast<off_t>(block.size());
  if (!file.valid()) return ::lseek(fd, 0, SEEK_CUR) >= since + size ? block.size() : 0;
  const std::string text = sys::read_at(file.get(), since, kFarthest);
  if (text.find(block) != std::string::npos) return block.size();
  return block.starts_with(text) ? text.size() : 0;
}

}  // namespace

bool has_given_up(const sys::Result<void>& sent) {
  return !sent && (sent.error().code == EINTR || sent.error().code == ETIMEDOUT);
}

Outgoing::Outgoing(std::string_view text, int counter, Progress& progress)
    : text_(text), counter_(counter), progress_(progress) {}

Outgoing::Outgoing(int file, int counter, Progress& progress) : file_(file), counter_(counter), progress_(progress) {}

std::size_t Outgoing::position() const {
  const std::size_t written = progress_.written.load();
  const off_t counted = counter_ >= 0 ? ::lseek(counter_, 0, SEEK_CUR) : 0;
  return counted < 0 ? written : std::max(written, static_cast<std::size_t>(counted));
}

std::string Outgoing::read(std::size_t at, std::size_t size) const {
  return file_ < 0 ? std::string(text_.substr(at, size)) : sys::read_at(file_, static_cast<off_t>(at), size);
}

/// At most PIPE_BUF bytes at a time: poll(2) promises room for no more, and the descriptor may be somebody else's and
/// blocking.
sys::Result<void> Outgoing::send(int to, std::size_t end, const GiveUp& give_up) {
  const bool regular = is_regular(to);
  for (std::size_t at = position(); at < end;) {
    if (auto room = await_room(to, give_up); !room) return room;
    const std::size_t size = std::min<std::size_t>(end - at, PIPE_BUF);
    const ssize_t moved = regular ? put_into_file(to, at, size) : send_some(to, at, size);
    if (moved == 0) return {};  // somebody has cut our file short
    if (moved > 0) at += static_cast<std::size_t>(moved);
    if (moved < 0 && errno != EINTR && errno != EAGAIN) return sys::last_error("write");
  }
  return {};
}

/// What sendfile(2) refuses, for whatever reason, is tried by write(2), which has the better words for it.
ssize_t Outgoing::send_some(int to, std::size_t at, std::size_t size) {
  if (counter_ >= 0 && ::lseek(counter_, static_cast<off_t>(at), SEEK_SET) >= 0) {
    ssize_t sent = ::sendfile(to, counter_, nullptr, size);
    if (sent < 0 && errno == EINVAL && sys::stop_appending(to)) sent = ::sendfile(to, counter_, nullptr, size);
    if (sent >= 0 || errno == EAGAIN || errno == EINTR) return sent;
  }
  return write_some(to, at, read(at, size));
}

ssize_t Outgoing::put_into_file(int to, std::size_t at, std::size_t size) {
  const std::string block = read(at, size);
  if (progress_.block.load() == at + 1) {  // it was about to be written, and whether it was is not noted
    if (const std::size_t found = found_in(to, progress_.since.load(), block); found > 0) {
      progress_.written.store(at + found);
      return static_cast<ssize_t>(found);
    }
  }
  progress_.since.store(next_place(to));
  progress_.block.store(at + 1);
  return write_some(to, at, block);
}

ssize_t Outgoing::write_some(int to, std::size_t at, const std::string& block) {
  if (block.empty()) return 0;
  const ssize_t written = ::write(to, block.data(), block.size());
  if (written > 0) progress_.written.store(at + static_cast<std::size_t>(written));
  return written;
}

}  // namespace reapctl::engine
