#include "engine/tail_pump.hpp"
#include "sys/descriptors.hpp"
#include "sys/directory.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace reapctl::engine {
namespace {

/// As much as a pipe holds, pipe(7).
constexpr std::size_t kBlock = 65536;

/// How far the command may be ahead of its reader. Not the whole disk: `yes` writes gigabytes a second.
constexpr std::uint64_t kSpoolLimit = std::uint64_t{64} << 20U;

sys::UniqueFd open_spool() {
  return sys::UniqueFd(::open(sys::temporary_directory().c_str(), O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600));
}

}  // namespace

sys::Result<PumpedStream> PumpedStream::open(int out, StreamTail& tail, char* ring, std::size_t size) {
  PumpedStream stream;
  stream.tail_ = &tail;
  stream.ring_ = ring;
  stream.size_ = size;
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return sys::last_error("pipe2");
  stream.in_.reset(ends[0]);
  stream.command_end_.reset(ends[1]);
  (void)::fcntl(stream.in_.get(), F_SETFL, O_NONBLOCK);  // our end only
  auto copy = sys::duplicate(out);
  if (!copy) return copy.error();
  stream.out_ = copy.take();
  struct stat status {};
  (void)::fstat(stream.out_.get(), &status);
  if (S_ISSOCK(status.st_mode)) stream.kind_ = Kind::socket;
  if (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode)) stream.kind_ = Kind::file;
  if (S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode)) {
    // An open file of our own: to make theirs non-blocking would make it so for everybody who has it.
    const std::string path = "/proc/self/fd/" + std::to_string(stream.out_.get());
    sys::UniqueFd own(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    stream.non_blocking_ = own.valid();
    if (own.valid()) stream.out_ = std::move(own);
  }
  stream.spool_ = open_spool();  // without one the command waits for a slow reader
  return stream;
}

void PumpedStream::watch(sys::EventLoop& loop, sys::EventLoop::Tag readable, sys::EventLoop::Tag writable) {
  readable_ = readable;
  writable_ = writable;
  arrange(loop);
}

/// Watches what can bring us on: the pipe while there is room for what comes, the output while something waits for it.
/// Out of the loop before it is closed: the other reapctl process has the same open file.
void PumpedStream::arrange(sys::EventLoop& loop) {
  const auto watch_if = [&loop](bool wanted, bool& watching, int fd, std::uint32_t events, sys::EventLoop::Tag tag) {
    if (wanted == watching) return;
    if (!wanted) loop.remove(fd);
    watching = wanted && loop.add(fd, events, tag).ok();
  };
  watch_if(in_.valid() && !ended_ && !is_gone() && !is_full(), watching_in_, in_.get(), EPOLLIN, readable_);
  watch_if(out_.valid() && !is_gone() && backlog() > 0, watching_out_, out_.get(), EPOLLOUT, writable_);
  if (ended_) in_.reset();
  close_if_gone();
}

void PumpedStream::close_if_gone() {
  if (!is_gone()) return;
  in_.reset();
  out_.reset();
}

void PumpedStream::on_readable(sys::EventLoop& loop) {
  read_more();
  arrange(loop);
}

void PumpedStream::on_writable(sys::EventLoop& loop) {
  drain();
  arrange(loop);
}

void PumpedStream::read_more() {
  static std::array<char, kBlock> block;  // one thread, one read at a time
  const ssize_t count = ::read(in_.get(), block.data(), block.size());
  if (count == 0) ended_ = true;
  if (count <= 0) return;
  remember(block.data(), static_cast<std::size_t>(count));
  pass_on(block.data(), static_cast<std::size_t>(count));
}

void PumpedStream::remember(const char* bytes, std::size_t size) {
  const std::uint64_t before = tail_->bytes.load();
  const std::size_t kept = std::min(size, size_);
  const char* from = bytes + (size - kept);
  std::size_t at = size_ == 0 ? 0 : static_cast<std::size_t>((before + size - kept) % size_);
  for (std::size_t left = kept; left > 0;) {
    const std::size_t part = std::min(left, size_ - at);
    std::memcpy(ring_ + at, from, part);
    from += part;
    left -= part;
    at = 0;
  }
  tail_->bytes.store(before + size);
}

std::string PumpedStream::last_bytes() const {
  const std::uint64_t all = tail_->bytes.load();
  const auto kept = static_cast<std::size_t>(std::min<std::uint64_t>(all, size_));
  std::string text;
  for (std::uint64_t at = all - kept; at < all; ++at) text += ring_[at % size_];
  return text;
}

/// At once if nothing is ahead of it, and the rest, in order, when the reader comes to it.
void PumpedStream::pass_on(const char* bytes, std::size_t size) {
  std::size_t done = backlog() == 0 ? write_some(bytes, size) : 0;
  if (is_gone()) return;
  if (pending_.empty()) done += spool(bytes + done, size - done);
  pending_.append(bytes + done, size - done);
}

/// How much the output takes without waiting.
std::size_t PumpedStream::write_some(const char* bytes, std::size_t size) {
  std::size_t done = 0;
  while (done < size) {
    std::size_t part = size - done;
    ssize_t count = 0;
    if (kind_ == Kind::socket) {
      count = ::send(out_.get(), bytes + done, part, MSG_DONTWAIT | MSG_NOSIGNAL);
    } else if (kind_ == Kind::file || non_blocking_) {
      count = ::write(out_.get(), bytes + done, part);
    } else {
      // Not ours to make non-blocking: when poll(2) says so there is room for PIPE_BUF.
      pollfd room{.fd = out_.get(), .events = POLLOUT, .revents = 0};
      if (::poll(&room, 1, 0) != 1) return done;
      count = ::write(out_.get(), bytes + done, std::min<std::size_t>(part, PIPE_BUF));
    }
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return done;
    if (count < 0) {
      give_up_output(errno);
      return size;
    }
    done += static_cast<std::size_t>(count);
  }
  return done;
}

/// The reader is gone, or the disk is full: the command learns of either in the one way there is, a pipe that breaks.
void PumpedStream::give_up_output(int why) {
  if (why != EPIPE && why != ECONNRESET) tail_->failure.store(why);
  tail_->gone.store(true);
  pending_.clear();
  tail_->spool_begin.store(tail_->spool_end.load());
}

std::size_t PumpedStream::spool(const char* bytes, std::size_t size) {
  std::size_t done = 0;
  while (spool_.valid() && done < size) {
    const std::uint64_t end = tail_->spool_end.load();
    const ssize_t count = ::pwrite(spool_.get(), bytes + done, size - done, static_cast<off_t>(end));
    if (count <= 0) break;  // a full disk: the command waits
    done += static_cast<std::size_t>(count);
    tail_->spool_end.store(end + static_cast<std::uint64_t>(count));
  }
  return done;
}

/// As much of what is waiting as the output takes now, but not so much that signals would have to wait.
void PumpedStream::drain() {
  std::array<char, kBlock> block;
  const std::uint64_t begin = tail_->spool_begin.load();
  const std::uint64_t held = tail_->spool_end.load() - begin;
  if (held > 0) {
    const std::size_t want = std::min<std::uint64_t>(held, block.size());
    const ssize_t count = ::pread(spool_.get(), block.data(), want, static_cast<off_t>(begin));
    if (count <= 0) {
      give_up_output(count < 0 ? errno : EIO);
      return;
    }
    const std::size_t done = write_some(block.data(), static_cast<std::size_t>(count));
    if (is_gone()) return;
    tail_->spool_begin.store(begin + done);
    if (begin + done == tail_->spool_end.load()) {  // empty: it begins anew
      tail_->spool_begin.store(0);
      tail_->spool_end.store(0);
      (void)!::ftruncate(spool_.get(), 0);  // only to free the space
    }
    return;
  }
  const std::size_t done = write_some(pending_.data(), pending_.size());
  if (!is_gone()) pending_.erase(0, done);
}

std::uint64_t PumpedStream::backlog() const {
  return tail_->spool_end.load() - tail_->spool_begin.load() + pending_.size();
}

bool PumpedStream::is_full() const {
  return !pending_.empty() || tail_->spool_end.load() >= kSpoolLimit;
}

std::uint64_t PumpedStream::finish(const GiveUp& give_up, std::optional<core::TimePoint> deadline) {
  command_end_.reset();
  // The writers are gone, so what is in the pipe now is the rest. A survivor of all signals could write for ever.
  const int room = in_.valid() ? ::fcntl(in_.get(), F_GETPIPE_SZ) : 0;
  const std::uint64_t last_byte = bytes() + static_cast<std::uint64_t>(std::max(room, 0));
  auto until = core::Clock::now() + kPatienceWithReader;
  int asker = give_up.fd;
  while (out_.valid() && !is_gone()) {
    pollfd rest{.fd = in_.get(), .events = POLLIN, .revents = 0};
    const bool more = in_.valid() && !ended_ && bytes() < last_byte && !is_full() && ::poll(&rest, 1, 0) == 1;
    if (more) read_more();
    if (more) continue;
    const std::uint64_t before = backlog();
    if (before == 0) break;
    const auto limit = deadline ? std::min(until, *deadline) : until;
    const auto left = std::chrono::ceil<core::Millis>(limit - core::Clock::now());
    if (left <= core::Millis::zero()) break;
    pollfd ready[2] = {{.fd = out_.get(), .events = POLLOUT, .revents = 0},
                       {.fd = asker, .events = POLLIN, .revents = 0}};
    if (::poll(ready, 2, static_cast<int>(left.count())) < 0 && errno != EINTR) break;
    const Asked asked = ready[1].revents != 0 ? give_up.asked() : Asked::no;
    if (asked == Asked::yes) break;
    if (asked == Asked::nobody_left) asker = -1;
    if (ready[0].revents != 0) drain();
    if (backlog() != before) until = core::Clock::now() + kPatienceWithReader;
  }
  const std::uint64_t lost = is_gone() ? 0 : backlog();
  in_.reset();
  out_.reset();
  return lost;
}

}  // namespace reapctl::engine
