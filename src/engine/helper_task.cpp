#include "engine/helper_task.hpp"

#include "core/time.hpp"
#include "engine/remover.hpp"
#include "sys/children.hpp"
#include "sys/descriptors.hpp"

#include <array>
#include <cassert>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <utility>

namespace reapctl::engine {
namespace {

/// How long a child may take to end: after its last word, and after SIGKILL.
constexpr core::Millis kFarewell{200};
constexpr core::Millis kDyingBound{1000};

/// In the child. Should it hang, nobody must wait for what it holds: the end of a pipe, a lock.
void let_go_of_all_but(int result_fd) {
  sys::UniqueFd harmless(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!harmless.valid()) harmless.reset(::open("/", O_PATH | O_CLOEXEC));
  if (::isatty(STDERR_FILENO) != 1) (void)::dup3(harmless.get(), STDERR_FILENO, O_CLOEXEC);
  (void)sys::release_inherited({result_fd}, harmless.release());
  // Progress is shown in the name of our parent, in whose group we are not: stty tostop.
  sigset_t output;
  sigemptyset(&output);
  sigaddset(&output, SIGTTOU);
  (void)::sigprocmask(SIG_BLOCK, &output, nullptr);
}

bool write_all(int fd, const void* bytes, std::size_t size) {
  const char* next = static_cast<const char*>(bytes);
  while (size > 0) {
    const ssize_t written = ::write(fd, next, size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    next += written;
    size -= static_cast<std::size_t>(written);
  }
  return true;
}

}  // namespace

sys::Result<HelperTask> HelperTask::start(const std::function<std::string()>& work) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return sys::last_error("pipe2");
  sys::UniqueFd reader(ends[0]);
  sys::UniqueFd writer(ends[1]);
  const pid_t parent = ::getpid();
  assert(!removal_threads_exist());
  const pid_t child = ::fork();
  if (child < 0) return sys::last_error("fork");
  if (child > 0) return HelperTask(child, std::move(reader));
  (void)::setpgid(0, 0);  // a sweep spares its own process group, and ours may hold its victims
  (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);  // it died before the line above
  let_go_of_all_but(writer.get());
  const std::string result = work();
  // The length comes first: without all of it the work was cut short. In one piece while it fits into the pipe.
  const std::uint64_t size = result.size();
  ::_exit(write_all(writer.get(), &size, sizeof size) && write_all(writer.get(), result.data(), size) ? 0 : 1);
}

HelperTask::HelperTask(HelperTask&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), result_(std::move(other.result_)) {}

HelperTask::~HelperTask() {
  if (pid_ <= 0) return;
  (void)::kill(pid_, SIGKILL);  // our child, unreaped: the pid is its own
  (void)sys::reap_within(pid_, kDyingBound);
}

sys::Result<std::string> HelperTask::take_result() {
  std::string text;
  std::array<char, 4096> bytes;
  std::uint64_t size = 0;
  const auto is_whole = [&] {
    if (text.size() < sizeof size) return false;
    text.copy(reinterpret_cast<char*>(&size), sizeof size);
    return text.size() - sizeof size >= size;
  };
  // A child that has a thread in the kernel stays, and its end of the pipe with it.
  for (ssize_t count = 1; count != 0 && !is_whole();) {
    count = ::read(result_.get(), bytes.data(), bytes.size());
    if (count < 0 && errno != EINTR) break;
    if (count > 0) text.append(bytes.data(), static_cast<std::size_t>(count));
  }
  if (is_whole() && sys::reap_within(pid_, kFarewell)) pid_ = -1;
  if (!is_whole()) return sys::Error{.code = 0, .operation = "a helper process died", .subject = {}};
  return text.substr(sizeof size);
}

}  // namespace reapctl::engine
