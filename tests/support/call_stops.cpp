#include "support/call_stops.hpp"

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <fcntl.h>
#include <future>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <utility>

namespace reapctl::test {
namespace {

sock_filter statement(int code, std::uint32_t value) {
  return {static_cast<std::uint16_t>(code), 0, 0, value};
}

/// For this thread and those that it will start. The listener, or -1 and errno.
int install(const std::vector<int>& numbers) {
  std::vector<sock_filter> filter{statement(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  for (const int number : numbers) {
    filter.push_back({BPF_JMP | BPF_JEQ | BPF_K, 0, 1, static_cast<std::uint32_t>(number)});
    filter.push_back(statement(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF));
  }
  filter.push_back(statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
  return static_cast<int>(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program));
}

void respond(int listener, const PendingCall& call, int code) {
  seccomp_notif_resp response{};
  response.id = call.id;
  response.error = -code;
  response.flags = code == 0 ? SECCOMP_USER_NOTIF_FLAG_CONTINUE : 0;
  // ENOENT: the caller is gone, and with it the need for an answer.
  (void)::ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

}  // namespace

/// The caller waits in the kernel, which thread sanitizer does not see.
__attribute__((no_sanitize("thread"))) std::string PendingCall::name() const {
  std::string copy;
  const auto* text = reinterpret_cast<const char*>(arguments[1]);  // NOLINT(performance-no-int-to-ptr)
  for (; text != nullptr && *text != '\0'; ++text) {
    const char byte = *text;
    copy.push_back(byte);
  }
  return copy;
}

bool PendingCall::is_rmdir() const {
  return number == SYS_unlinkat && (arguments[2] & AT_REMOVEDIR) != 0;
}

std::string call_stops_obstacle() {
  // A call that nobody makes: that the filter can be installed is all that is asked.
  int code = 0;
  std::thread([&code] {
    const sys::UniqueFd listener(install({SYS_reboot}));
    if (!listener.valid()) code = errno;
  }).join();
  return code == 0 ? "" : std::string("no seccomp user notification here: ") + std::strerror(code);
}

CallStops::CallStops(const std::vector<int>& numbers, std::function<void()> work) : ended_(::eventfd(0, EFD_CLOEXEC)) {
  std::promise<int> installed;
  auto listener = installed.get_future();
  thread_ = std::thread([this, numbers, work = std::move(work), installed = std::move(installed)]() mutable {
    installed.set_value(install(numbers));
    work();
    const std::uint64_t one = 1;
    (void)!::write(ended_.get(), &one, sizeof one);
  });
  listener_.reset(listener.get());
}

CallStops::~CallStops() {
  listener_.reset();
  thread_.join();
}

std::optional<PendingCall> CallStops::next(int done) {
  while (true) {
    pollfd waited[] = {{.fd = listener_.get(), .events = POLLIN, .revents = 0},
                       {.fd = done >= 0 ? done : ended_.get(), .events = POLLIN, .revents = 0}};
    if (::poll(waited, 2, -1) < 0) continue;
    if ((waited[0].revents & POLLIN) == 0) {
      if (waited[1].revents != 0) return std::nullopt;
      continue;
    }
    seccomp_notif notification{};
    if (::ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_RECV, &notification) != 0) continue;
    PendingCall call{.id = notification.id, .number = notification.data.nr};
    for (std::size_t i = 0; i < call.arguments.size(); ++i) call.arguments[i] = notification.data.args[i];
    return call;
  }
}

void CallStops::go_on(const PendingCall& call) {
  respond(listener_.get(), call, 0);
}

void CallStops::fail(const PendingCall& call, int code) {
  respond(listener_.get(), call, code);
}

void run_with_stops(const std::vector<int>& numbers, std::function<void()> work,
                    const std::function<int(const PendingCall&)>& decide) {
  CallStops stops(numbers, std::move(work));
  while (const auto call = stops.next()) {
    const int code = decide(*call);
    code == 0 ? stops.go_on(*call) : stops.fail(*call, code);
  }
}

}  // namespace reapctl::test
