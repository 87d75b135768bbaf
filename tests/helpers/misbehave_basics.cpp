#include "misbehave_basics.hpp"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <unistd.h>

namespace misbehave {

const char* ready_path = nullptr;

void fail(const char* what, std::string_view subject) {
  std::fprintf(stderr, "misbehave: %s %.*s: %s\n", what, static_cast<int>(subject.size()), subject.data(),
               std::strerror(errno));
  _exit(99);
}

void arm_lifetime() {
  timer_t timer{};
  sigevent event{};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGKILL;
  if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) fail("timer_create");
  itimerspec spec{};
  spec.it_value.tv_sec = kLifetimeSeconds;
  if (timer_settime(timer, 0, &spec, nullptr) != 0) fail("timer_settime");
}

namespace {

/// Field 22 of /proc/self/stat as text; async-signal-safe.
std::string_view own_start_ticks(char* buffer, std::size_t size) {
  const int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return "0";
  const ssize_t length = read(fd, buffer, size);
  close(fd);
  if (length <= 0) return "0";
  std::string_view text(buffer, static_cast<std::size_t>(length));
  text.remove_prefix(text.rfind(')') + 2);
  for (int field = 3; field < 22; ++field) text.remove_prefix(text.find(' ') + 1);
  return text.substr(0, text.find(' '));
}

}  // namespace

void announce(std::string_view role) {
  if (ready_path == nullptr) return;
  const int saved_errno = errno;
  char stat[1024];
  char line[512];
  std::size_t used = 0;
  const auto put = [&](std::string_view text) {
    for (const char c : text) {
      if (used < sizeof line) line[used++] = c;
    }
  };
  char digits[16];
  std::size_t at = sizeof digits;
  for (pid_t pid = getpid(); pid > 0; pid /= 10) digits[--at] = static_cast<char>('0' + pid % 10);
  put({digits + at, sizeof digits - at});
  put(" ");
  put(own_start_ticks(stat, sizeof stat));
  put(" ");
  put(role);
  put("\n");
  const int fd = open(ready_path, O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC);
  if (fd >= 0) {
    (void)!write(fd, line, used);  // a test that is over reads no more
    close(fd);
  }
  errno = saved_errno;
}

int signal_number(std::string_view name) {
  if (starts_with(name, "RTMIN+")) return SIGRTMIN + std::atoi(name.data() + 6);
  for (int number = 1; number < 32; ++number) {
    const char* abbreviation = sigabbrev_np(number);
    if (abbreviation != nullptr && name == abbreviation) return number;
  }
  errno = EINVAL;
  fail("unknown signal", name);
}

sigset_t signal_set(std::string_view list) {
  sigset_t set;
  sigemptyset(&set);
  if (list == "all") sigfillset(&set);
  if (list != "all") for_each_item(list, [&](std::string_view name) { sigaddset(&set, signal_number(name)); });
  return set;
}

void set_dispositions(std::string_view list, void (*disposition)(int)) {
  const sigset_t set = signal_set(list);
  for (int number = 1; number < NSIG; ++number) {
    if (sigismember(&set, number) == 1) (void)std::signal(number, disposition);  // KILL, STOP: cannot be, ignoring
  }
}

namespace {

struct Reaction {
  std::string say;
  std::string fork_role;
  int exit_code = -1;
};
Reaction reactions[NSIG];

void react(int number) {
  const Reaction& reaction = reactions[number];
  if (!reaction.say.empty()) announce(reaction.say);
  if (!reaction.fork_role.empty() && fork() == 0) {
    arm_lifetime();
    set_dispositions("INT,TERM", SIG_IGN);
    setsid();
    announce(reaction.fork_role);
    for (;;) pause();
  }
  if (reaction.exit_code >= 0) _exit(reaction.exit_code);
}

}  // namespace

void set_reaction(std::string_view spec) {
  const std::size_t colon = spec.find(':');
  const std::size_t equals = spec.find('=', colon);
  if (colon == std::string_view::npos || equals == std::string_view::npos) fail("on=", spec);
  const int number = signal_number(spec.substr(0, colon));
  const std::string_view kind = spec.substr(colon + 1, equals - colon - 1);
  const std::string value(spec.substr(equals + 1));
  if (kind == "exit") reactions[number].exit_code = std::atoi(value.c_str());
  if (kind == "say") reactions[number].say = value;
  if (kind == "fork") reactions[number].fork_role = value;
  struct sigaction action {};
  action.sa_handler = react;
  action.sa_flags = SA_RESTART;
  if (sigaction(number, &action, nullptr) != 0) fail("sigaction", spec);
}

}  // namespace misbehave
