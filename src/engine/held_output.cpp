#include "engine/held_output.hpp"

#include "sys/descriptors.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <fcntl.h>
#include <map>
#include <string_view>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace reapctl::engine {
namespace {

/// Appended to, for the command may give it to several writers of its own.
sys::Result<sys::UniqueFd> nameless_file() {
  constexpr int kFlags = O_RDWR | O_APPEND | O_CLOEXEC;
  const char* tmpdir = std::getenv("TMPDIR");
  const std::string directory = tmpdir != nullptr && *tmpdir != '\0' ? tmpdir : "/tmp";
  sys::UniqueFd file(::open(directory.c_str(), O_TMPFILE | O_EXCL | kFlags, 0600));
  if (file.valid()) return file;
  std::string name = directory + "/reapctl-output-XXXXXX";  // a file system without O_TMPFILE: NFS, an older overlay
  file.reset(::mkostemp(name.data(), O_APPEND | O_CLOEXEC));
  if (file.valid() && ::unlink(name.c_str()) == 0) return file;
  file.reset(::memfd_create("reapctl-output", MFD_CLOEXEC));
  if (!file.valid()) return sys::last_error("hold the output back in", directory);
  (void)::fcntl(file.get(), F_SETFL, O_APPEND);  // valid for every file
  return file;
}

off_t size_of(int fd) {
  struct stat status {};
  return ::fstat(fd, &status) == 0 ? status.st_size : 0;
}

std::string read_at(int fd, off_t offset, std::size_t limit) {
  std::string text(limit, '\0');
  std::size_t length = 0;
  while (length < limit) {
    const ssize_t count = ::pread(fd, text.data() + length, limit - length, offset + static_cast<off_t>(length));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    length += static_cast<std::size_t>(count);
  }
  text.resize(length);
  return text;
}

/// One after the other, as a single row of bytes: what lies before `done` was written by somebody else already.
class Replay {
 public:
  Replay(const GiveUp& give_up, SharedReport* shared)
      : give_up_(give_up), shared_(shared), done_(shared != nullptr ? shared->replayed() : 0) {}

  void text(int to, std::string_view text) {
    piece(to, text.size(), [&](std::size_t at, std::size_t size) { return std::string(text.substr(at, size)); });
  }

  void file(int to, int from, off_t size) {
    piece(to, static_cast<std::size_t>(size),
          [&](std::size_t at, std::size_t limit) { return read_at(from, static_cast<off_t>(at), limit); });
  }

  /// Not shown, for its place takes nothing; the other one has a place of its own.
  void complain(int to, const char* name) const {
    const auto broken = broken_.find(to);
    if (broken == broken_.end() || broken->second.code == EPIPE) return;  // who has gone misses nothing
    const std::string line = std::string("reapctl: ") + name + " is not shown: cannot " + broken->second.message();
    (void)write_patiently(STDERR_FILENO, line + "\n", give_up_, nullptr);  // nowhere is left to complain to
  }

 private:
  template <class Read>
  void piece(int to, std::size_t size, const Read& read) {
    const std::size_t begin = at_;
    at_ += size;
    for (std::size_t done = std::clamp(done_, begin, at_); done < at_ && !over_ && !broken_.contains(to);) {
      const std::string block = read(done - begin, std::min<std::size_t>(at_ - done, PIPE_BUF));
      if (block.empty()) return;  // somebody has cut the file short
      const auto written = write_patiently(to, block, give_up_, nullptr);
      over_ = has_given_up(written);
      if (!written && !over_) broken_.emplace(to, written.error());
      if (!written) return;
      done += block.size();
      if (shared_ != nullptr) shared_->set_replayed(done);
    }
  }

  const GiveUp& give_up_;
  SharedReport* shared_;
  std::size_t done_;
  std::size_t at_ = 0;
  bool over_ = false;                 ///< nothing is waited for any more
  std::map<int, sys::Error> broken_;  ///< descriptors that take nothing
};

}  // namespace

sys::Result<HeldOutput> HeldOutput::open() {
  HeldOutput output;
  for (sys::UniqueFd& held : output.held_) {
    auto file = nameless_file();
    if (!file) return file.error();
    held = file.take();
  }
  auto own = sys::duplicate(STDOUT_FILENO);
  if (!own) return own.error();
  output.stdout_ = own.take();
  return output;
}

std::vector<int> HeldOutput::descriptors() const {
  return {held_[0].get(), held_[1].get(), stdout_.get()};
}

void HeldOutput::replay(const GiveUp& give_up, SharedReport* shared) const {
  Replay replay(give_up, shared);
  for (const auto& [from, to, name] :
       {std::tuple{held_[0].get(), stdout_.get(), "stdout"}, std::tuple{held_[1].get(), STDERR_FILENO, "stderr"}}) {
    const off_t size = size_of(from);
    if (size == 0) continue;
    replay.text(STDERR_FILENO, std::string("--- ") + name + ", " + std::to_string(size) +
                                   (size == 1 ? " byte ---\n" : " bytes ---\n"));
    replay.file(to, from, size);
    if (read_at(from, size - 1, 1) != "\n") replay.text(STDERR_FILENO, "\n");  // what follows begins a line
    replay.complain(to, name);
  }
}

bool HeldOutput::has_no_room() const {
  return std::any_of(held_.begin(), held_.end(), [](const sys::UniqueFd& file) {
    struct statvfs status {};
    if (::fstatvfs(file.get(), &status) != 0 || status.f_blocks == 0) return false;  // in memory there is no limit
    return (::geteuid() == 0 ? status.f_bfree : status.f_bavail) == 0;
  });
}

core::OutputReport HeldOutput::tails(std::size_t size) const {
  const auto tail = [size](int fd, std::string& text) {
    const off_t all = size_of(fd);
    const off_t length = std::min(all, static_cast<off_t>(size));
    text = read_at(fd, all - length, static_cast<std::size_t>(length));
    return all;
  };
  core::OutputReport report;
  report.stdout_bytes = tail(held_[0].get(), report.stdout_tail);
  report.stderr_bytes = tail(held_[1].get(), report.stderr_tail);
  return report;
}

}  // namespace reapctl::engine
