#include "engine/as_user.hpp"

#include "engine/remover.hpp"
#include "sys/children.hpp"
#include "sys/descriptors.hpp"
#include "sys/passwd.hpp"
#include "sys/unique_fd.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <map>
#include <optional>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <utility>

namespace reapctl::engine {
namespace {

constexpr std::size_t kResultLimit = std::size_t{64} << 20U;
constexpr std::size_t kAtOnce = 16;        ///< children
constexpr gid_t kNoGroup = 65534;          ///< nogroup: of who is not in /etc/passwd
constexpr core::Millis kDyingBound{1000};  ///< from SIGKILL, or from the last word, to the end of a child
/// Of a child, in bytes: a user with a million records gets no more of root's memory.
[[maybe_unused]] constexpr rlim_t kMemoryLimit = rlim_t{1} << 30U;

bool has_no_capabilities() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> data{};
  if (::syscall(SYS_capget, &header, data.data()) != 0) return false;
  return std::all_of(data.begin(), data.end(),
                     [](const auto& set) { return set.effective == 0 && set.permitted == 0; });
}

/// No way back: real, effective and saved ids, groups and capabilities all go, and no set-uid program brings any of
/// them back. Checked afterwards, since securebits can turn off what setresuid(2) does to capabilities.
bool become(uid_t uid, gid_t gid) {
  if (uid == 0 || ::setgroups(0, nullptr) != 0) return false;
  if (::setresgid(gid, gid, gid) != 0 || ::setresuid(uid, uid, uid) != 0) return false;
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return false;
  uid_t real = 0;
  uid_t effective = 0;
  uid_t saved = 0;
  if (::getresuid(&real, &effective, &saved) != 0) return false;
  return real == uid && effective == uid && saved == uid && ::setresuid(0, 0, 0) != 0 && has_no_capabilities();
}

[[noreturn]] void be_child(const UserTask& task, gid_t gid, int result_fd) {
  const sys::UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  // Not even a descriptor of root's comes along.
  const bool alone = null.valid() && sys::release_inherited({result_fd, null.get()}, null.get()).ok();
  if (!alone || ::chdir("/") != 0 || !become(task.uid, gid)) ::_exit(1);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // these need many times as much
  const rlimit memory{.rlim_cur = kMemoryLimit, .rlim_max = kMemoryLimit};
  (void)::setrlimit(RLIMIT_DATA, &memory);  // lowering it cannot fail
#endif
  const std::string result = task.work();
  for (std::size_t at = 0; at < result.size();) {
    const ssize_t written = ::write(result_fd, result.data() + at, result.size() - at);
    if (written < 0 && errno != EINTR) ::_exit(1);
    if (written > 0) at += static_cast<std::size_t>(written);
  }
  ::_exit(0);
}

struct Child {
  pid_t pid = -1;
  sys::UniqueFd result_fd;
  std::string result;
  bool ended = false;  ///< it has said all it had to say
  core::TimePoint give_up_at = {};
};

sys::Error failed(const std::string& what, uid_t uid) {
  return {.code = 0, .operation = what, .subject = "user " + std::to_string(uid)};
}

Child start(const UserTask& task) {
  Child child;
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return child;
  child.result_fd.reset(ends[0]);
  sys::UniqueFd write_end(ends[1]);
  const auto user = sys::find_user(task.uid);
  const gid_t gid = user ? user->gid : kNoGroup;
  assert(!removal_threads_exist());
  child.pid = ::fork();
  if (child.pid == 0) be_child(task, gid, write_end.get());
  return child;
}

void read_some(Child& child) {
  std::array<char, 65536> buffer;  // left as it is: filled by read
  const ssize_t count = ::read(child.result_fd.get(), buffer.data(), buffer.size());
  if (count < 0 && errno == EINTR) return;
  if (count > 0) child.result.append(buffer.data(), static_cast<std::size_t>(count));
  if (count <= 0 || child.result.size() > kResultLimit) child.ended = true;
}

/// Until one of them has said something, or is to be given up.
void wait_for_some(std::map<std::size_t, Child>& children) {
  std::vector<pollfd> waiting;
  std::vector<Child*> of;
  core::TimePoint until = core::TimePoint::max();
  for (auto& [task, child] : children) {
    if (child.pid < 0) return;
    waiting.push_back({.fd = child.result_fd.get(), .events = POLLIN, .revents = 0});
    of.push_back(&child);
    until = std::min(until, child.give_up_at);
  }
  const auto left = std::chrono::ceil<core::Millis>(until - core::Clock::now());
  (void)::poll(waiting.data(), waiting.size(), static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 60000)));
  for (std::size_t i = 0; i < waiting.size(); ++i) {
    if (waiting[i].revents != 0) read_some(*of[i]);
  }
}

sys::Result<std::string> finish(Child& child, uid_t uid) {
  if (child.pid < 0) return failed("no process could be made for", uid);
  if (!child.ended) (void)::kill(child.pid, SIGKILL);  // our child, not reaped: the pid is its own
  const auto end = sys::reap_within(child.pid, kDyingBound);
  // The user may have it wait for a file system that does not answer. It is left to init.
  if (!end) return failed("a process that acts hangs, and cannot even be killed, for", uid);
  if (!child.ended || child.result.size() > kResultLimit) return failed("it took too long for", uid);
  if (end->info.si_code != CLD_EXITED || end->info.si_status != 0)
    return failed("it could not be done with the rights of", uid);
  return std::move(child.result);
}

}  // namespace

std::vector<sys::Result<std::string>> do_as_users(const std::vector<UserTask>& tasks, core::Millis each) {
  std::vector<std::optional<sys::Result<std::string>>> results(tasks.size());
  std::map<std::size_t, Child> children;  // by their task
  for (std::size_t next = 0; next < tasks.size() || !children.empty();) {
    while (next < tasks.size() && children.size() < kAtOnce) {
      Child child = start(tasks[next]);
      child.give_up_at = core::Clock::now() + each;
      children.emplace(next++, std::move(child));
    }
    wait_for_some(children);
    for (auto entry = children.begin(); entry != children.end();) {
      auto& [task, child] = *entry;
      if (child.pid >= 0 && !child.ended && core::Clock::now() < child.give_up_at) {
        ++entry;
        continue;
      }
      results[task] = finish(child, tasks[task].uid);
      entry = children.erase(entry);
    }
  }
  std::vector<sys::Result<std::string>> all;
  all.reserve(results.size());
  for (auto& result : results) all.push_back(*std::move(result));
  return all;
}

}  // namespace reapctl::engine
