#include "engine/held_output.hpp"

#include "sys/descriptors.hpp"
#include "sys/directory.hpp"

#include <algorithm>
#include <cstdlib>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace reapctl::engine {
namespace {

/// Appended to, for the command may give it to several writers of its own.
sys::Result<sys::UniqueFd> nameless_file() {
  constexpr int kFlags = O_RDWR | O_APPEND | O_CLOEXEC;
  const std::string directory = sys::temporary_directory();
  sys::UniqueFd file(::open(directory.c_str(), O_TMPFILE | O_EXCL | kFlags, 0600));
  if (file.valid()) return file;
  std::string name = directory + "/reapctl-output-XXXXXX";  // a file system without O_TMPFILE: NFS, an older overlay
  file.reset(::mkostemp(name.data(), O_APPEND | O_CLOEXEC));
  if (file.valid() && ::unlink(name.c_str()) == 0) return file;
  auto in_memory = sys::make_memory_file("reapctl-output");
  if (!in_memory) {
    return sys::Error{.code = in_memory.error().code, .operation = "hold the output back in", .subject = directory};
  }
  (void)::fcntl(in_memory->get(), F_SETFL, O_APPEND);  // valid for every file
  return in_memory;
}

off_t size_of(int fd) {
  struct stat status {};
  return ::fstat(fd, &status) == 0 ? status.st_size : 0;
}

}  // namespace

sys::Result<HeldOutput> HeldOutput::open() {
  HeldOutput output;
  for (std::size_t i = 0; i < output.held_.size(); ++i) {
    auto file = nameless_file();
    if (!file) return file.error();
    output.held_[i] = file.take();
    // Without /proc there is none, and it goes without.
    const std::string itself = "/proc/self/fd/" + std::to_string(output.held_[i].get());
    output.counters_[i].reset(::open(itself.c_str(), O_RDONLY | O_CLOEXEC));
  }
  auto own = sys::duplicate(STDOUT_FILENO);
  if (!own) return own.error();
  output.stdout_ = own.take();
  return output;
}

std::vector<int> HeldOutput::descriptors() const {
  return {held_[0].get(), held_[1].get(), counters_[0].get(), counters_[1].get(), stdout_.get()};
}

std::size_t HeldOutput::size(std::size_t which) const {
  return static_cast<std::size_t>(size_of(held_[which].get()));
}

bool HeldOutput::ends_a_line(std::size_t which, std::size_t size) const {
  return sys::read_at(held_[which].get(), static_cast<off_t>(size) - 1, 1) == "\n";
}

Outgoing HeldOutput::bytes(std::size_t which, Progress& progress) const {
  return {held_[which].get(), counters_[which].get(), progress};
}

int HeldOutput::place(std::size_t which) const {
  return which == 0 ? stdout_.get() : STDERR_FILENO;
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
    text = sys::read_at(fd, all - length, static_cast<std::size_t>(length));
    return all;
  };
  core::OutputReport report;
  report.stdout_bytes = tail(held_[0].get(), report.stdout_tail);
  report.stderr_bytes = tail(held_[1].get(), report.stderr_tail);
  return report;
}

}  // namespace reapctl::engine
