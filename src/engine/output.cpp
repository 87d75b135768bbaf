#include "engine/output.hpp"

#include "sys/descriptors.hpp"

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <memory>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

namespace reapctl::engine {
namespace {

/// A descriptor of our own for an inherited one. From 3 on the command does not get it: whoever reads the report
/// or the events sees their end when we are done.
sys::Result<sys::UniqueFd> take_over(int fd) {
  auto copy = sys::duplicate(fd);
  if (copy && fd > 2 && ::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) return sys::last_error("fcntl", std::to_string(fd));
  return copy;
}

struct DirectoryAndName {
  std::string directory;
  std::string name;
};

DirectoryAndName split(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) return {.directory = ".", .name = path};
  return {.directory = path.substr(0, slash + 1), .name = path.substr(slash + 1)};
}

/// `path`, or what it leads to if it is a symbolic link: the link stays, the file behind it is replaced, or made.
std::string follow(std::string path) {
  constexpr int kMostLinks = 40;  // path_resolution(7)
  for (int links = 0; links < kMostLinks; ++links) {
    const std::unique_ptr<char, void (*)(void*)> real(::realpath(path.c_str(), nullptr), std::free);
    if (real) return real.get();
    char target[PATH_MAX];
    const ssize_t length = ::readlink(path.c_str(), target, sizeof target);
    if (length <= 0) break;
    const std::string_view next(target, static_cast<std::size_t>(length));
    path = next.front() == '/' ? std::string(next) : (split(path).directory + "/").append(next);
  }
  return path;
}

}  // namespace

sys::Result<ReportOutput> ReportOutput::open(const core::OutputTarget& target) {
  switch (target.kind) {
    case core::OutputTarget::Kind::none: return ReportOutput{};
    case core::OutputTarget::Kind::file: return open_file(target.path);
    case core::OutputTarget::Kind::descriptor: break;
  }
  auto copy = take_over(target.descriptor);
  if (!copy) return copy.error();
  ReportOutput output;
  output.kind_ = Kind::stream;
  output.fd_ = copy.take();
  return output;
}

sys::Result<ReportOutput> ReportOutput::open_file(const std::string& path) {
  ReportOutput output;
  struct stat status {};
  const bool exists = ::stat(path.c_str(), &status) == 0;
  if (!exists && errno != ENOENT) return sys::last_error("open", path);
  if (exists && S_ISDIR(status.st_mode)) return sys::Error{.code = EISDIR, .operation = "open", .subject = path};
  if (exists && !S_ISREG(status.st_mode)) {
    output.kind_ = Kind::stream;
    output.fd_.reset(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (output.fd_.valid()) return output;
    if (errno != ENXIO || !S_ISFIFO(status.st_mode)) return sys::last_error("open", path);
    output.kind_ = Kind::late_fifo;  // nobody reads it yet; at the end somebody may
  } else {
    output.kind_ = Kind::replaced_file;
  }
  const auto [directory, name] = split(follow(path));
  if (name.empty()) return sys::Error{.code = EISDIR, .operation = "open", .subject = path};
  output.path_ = path;
  output.name_ = name;
  output.fresh_ = "." + name + "." + std::to_string(::getpid());
  output.fd_.reset(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!output.fd_.valid()) return sys::last_error("open the directory of", path);
  if (output.kind_ == Kind::replaced_file && ::faccessat(output.fd_.get(), ".", W_OK | X_OK, AT_EACCESS) != 0) {
    return sys::last_error("write to the directory of", path);
  }
  return output;
}

sys::Result<void> ReportOutput::send(Outgoing& bytes, std::size_t end, const GiveUp& give_up) const {
  switch (kind_) {
    case Kind::nowhere: return {};
    case Kind::stream: return bytes.send(fd_.get(), end, give_up);
    case Kind::replaced_file: {
      const std::size_t begin = bytes.position();
      if (begin >= end) return {};
      auto replaced = replace(bytes.read(begin, end - begin));
      if (replaced) bytes.skip_to(end);
      return replaced;
    }
    case Kind::late_fifo: break;
  }
  const sys::UniqueFd fifo(::openat(fd_.get(), name_.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  if (!fifo.valid()) return sys::last_error("open", path_);
  return bytes.send(fifo.get(), end, give_up);
}

/// Writes a new file beside the old one and renames it over: a reader sees the old report or the whole new one.
sys::Result<void> ReportOutput::replace(std::string_view text) const {
  struct stat old {};
  const bool exists = ::fstatat(fd_.get(), name_.c_str(), &old, 0) == 0;
  (void)::unlinkat(fd_.get(), fresh_.c_str(), 0);  // of the other reapctl process, if it died in the middle
  const sys::UniqueFd file(
      ::openat(fd_.get(), fresh_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666));
  if (!file.valid()) return sys::last_error("write", path_);
  Progress progress{};
  sys::Result<void> written = Outgoing(text, -1, progress).send(file.get(), text.size(), {});
  if (written && exists && ::fchmod(file.get(), old.st_mode & 07777U) != 0)
    written = sys::last_error("set the mode of", path_);
  if (written && ::renameat(fd_.get(), fresh_.c_str(), fd_.get(), name_.c_str()) != 0) {
    written = sys::last_error("replace", path_);
  }
  if (!written) (void)::unlinkat(fd_.get(), fresh_.c_str(), 0);  // the first error is the one to tell
  return written;
}

sys::Result<EventOutput> EventOutput::open(const core::OutputTarget& target) {
  EventOutput output;
  switch (target.kind) {
    case core::OutputTarget::Kind::none: break;
    case core::OutputTarget::Kind::descriptor: {
      auto copy = take_over(target.descriptor);
      if (!copy) return copy.error();
      output.fd_ = copy.take();
      break;
    }
    case core::OutputTarget::Kind::file:
      output.fd_.reset(
          ::open(target.path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0666));
      if (!output.fd_.valid()) return sys::last_error("open", target.path);
      break;
  }
  struct stat status {};
  output.regular_ = output.fd_.valid() && ::fstat(output.fd_.get(), &status) == 0 && S_ISREG(status.st_mode);
  return output;
}

void EventOutput::write(std::string line) {
  if (!fd_.valid()) return;
  line += '\n';
  pollfd ready{.fd = fd_.get(), .events = POLLOUT, .revents = 0};
  // A line longer than PIPE_BUF could block on a pipe that is not ours to make non-blocking, or arrive in part.
  const bool fits = regular_ || line.size() <= PIPE_BUF;
  const bool room = ::poll(&ready, 1, 0) == 1 && (ready.revents & (POLLOUT | POLLERR)) != 0;
  if (!fits || !room) {
    ++dropped_;
    return;
  }
  std::string_view rest = line;
  ssize_t written = ::write(fd_.get(), rest.data(), rest.size());
  // A file takes what there is room for, and says only then why it takes no more.
  while (regular_ && written >= 0 && static_cast<std::size_t>(written) < rest.size()) {
    rest.remove_prefix(static_cast<std::size_t>(written));
    written = ::write(fd_.get(), rest.data(), rest.size());
  }
  if (written == static_cast<ssize_t>(rest.size())) return;
  if (written >= 0 || errno == EAGAIN) {
    ++dropped_;
  } else if (++failed_ == 1) {
    failure_ = errno;
  }
}

}  // namespace reapctl::engine
