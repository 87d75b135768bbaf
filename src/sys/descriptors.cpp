#include "sys/descriptors.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <ctime>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace reapctl::sys {

void occupy_standard_descriptors() {
  // One poll(2) tells about all three: POLLNVAL for a closed one.
  pollfd standard[3] = {
      {.fd = 0, .events = 0, .revents = 0}, {.fd = 1, .events = 0, .revents = 0}, {.fd = 2, .events = 0, .revents = 0}};
  if (::poll(standard, 3, 0) <= 0) return;
  for (const pollfd& entry : standard) {
    if ((entry.revents & POLLNVAL) == 0) continue;
    // The lowest free descriptor is this one, because they are filled in order. O_PATH does where /dev/null is missing.
    if (::open("/dev/null", O_RDWR | O_CLOEXEC) < 0) (void)::open("/", O_PATH | O_CLOEXEC);
  }
}

bool is_open(int fd) {
  return ::fcntl(fd, F_GETFD) >= 0;
}

int poll_timeout_ms(std::chrono::steady_clock::time_point until) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, INT_MAX));
}

bool becomes_ready(int fd, std::uint32_t events, std::chrono::milliseconds within) {
  pollfd ready{.fd = fd, .events = static_cast<short>(events), .revents = 0};
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(within);
  const timespec bound{.tv_sec = seconds.count(), .tv_nsec = std::chrono::nanoseconds(within - seconds).count()};
  return ::ppoll(&ready, 1, &bound, nullptr) > 0;
}

bool is_ready(int fd, std::uint32_t events) {
  return becomes_ready(fd, events, std::chrono::milliseconds::zero());
}

bool is_writable(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  return flags >= 0 && (flags & O_PATH) == 0 && (flags & O_ACCMODE) != O_RDONLY;
}

Result<std::vector<int>> open_descriptors() {
  DIR* directory = ::opendir("/proc/self/fd");
  if (directory == nullptr) return last_error("open", "/proc/self/fd");
  std::vector<int> descriptors;
  while (const dirent* entry = ::readdir(directory)) {
    char* end = nullptr;
    const long fd = std::strtol(entry->d_name, &end, 10);
    if (end != entry->d_name && fd != ::dirfd(directory)) descriptors.push_back(static_cast<int>(fd));
  }
  (void)::closedir(directory);
  std::sort(descriptors.begin(), descriptors.end());
  return descriptors;
}

Result<UniqueFd> duplicate(int fd) {
  UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!copy.valid()) return last_error("duplicate descriptor", std::to_string(fd));
  return copy;
}

bool stop_appending(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || (flags & O_APPEND) == 0) return false;
  if (::lseek(fd, 0, SEEK_CUR) >= 0 || errno != ESPIPE) return false;
  return ::fcntl(fd, F_SETFL, flags & ~O_APPEND) == 0;
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

Result<UniqueFd> make_memory_file(const char* label) {
  constexpr unsigned kNeverExecuted = 0x8;  // MFD_NOEXEC_SEAL, Linux 6.3; our headers may be older
  UniqueFd file(::memfd_create(label, MFD_CLOEXEC | kNeverExecuted));
  if (!file.valid() && errno == EINVAL) file.reset(::memfd_create(label, MFD_CLOEXEC));
  if (!file.valid()) return last_error("memfd_create", label);
  return file;
}

Result<void> release_inherited(std::vector<int> keep, int harmless_fd) {
  for (const int standard : {0, 1}) {
    if (std::find(keep.begin(), keep.end(), standard) == keep.end()) (void)::dup3(harmless_fd, standard, O_CLOEXEC);
  }
  keep.insert(keep.end(), {0, 1, 2});
  std::sort(keep.begin(), keep.end());
  keep.erase(std::unique(keep.begin(), keep.end()), keep.end());
  for (std::size_t i = 0; i < keep.size(); ++i) {
    if (keep[i] < 0) continue;
    const auto first = static_cast<unsigned>(keep[i]) + 1;
    const unsigned last = i + 1 < keep.size() ? static_cast<unsigned>(keep[i + 1]) - 1 : UINT_MAX;
    if (first > last) continue;
    if (::syscall(SYS_close_range, first, last, 0) == 0) continue;
    const auto open = open_descriptors();
    if (!open) return open.error();
    for (const int fd : *open) {
      if (!std::binary_search(keep.begin(), keep.end(), fd)) (void)::close(fd);
    }
    return {};
  }
  return {};
}

}  // namespace reapctl::sys
