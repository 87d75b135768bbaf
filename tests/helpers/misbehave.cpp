/// A process that misbehaves on command, for tests of what reapctl leaves behind.
///
///   misbehave [--ready FIFO] STEP...
///
/// Steps run from left to right in the process that reaches them; a process that runs out of steps lives until it is
/// killed. `fork [ STEP... ]` gives the bracketed steps to a child. Tests synchronise over the FIFO: `ready=ROLE`
/// writes one line "PID START_TICKS ROLE" into it, below PIPE_BUF and so never torn. Nothing here sleeps to
/// synchronise.
///
///   ready=ROLE                  say where we are
///   say-fds                     says "fds:0,1,2": the descriptors that are open
///   setsid  setpgid             leave the session; leave the process group
///   ignore=SIG,...  block=...  default=...      `all` is every signal that can be
///   on=SIG:exit=N  on=SIG:say=ROLE  on=SIG:fork=ROLE   a handler; the forked child ignores INT and TERM
///   become-effective-user       for a set-uid copy: all user ids become the effective one
///   subreaper                   adopt orphans
///   comm=NAME                   as /proc/PID/comm shows it
///   env-clear                   re-exec with an empty environment
///   env-overwrite               write over the environment, as servers do that show a title
///   fork [ ... ]                a child
///   double-fork [ ... ]         a grandchild whose parent is gone
///   clone-parent [ ... ]        a sibling (CLONE_PARENT)
///   clone-silent [ ... ]        a child that sends no signal when it ends (needs __WALL)
///   clone-signal=SIG [ ... ]    a child that sends another signal than SIGCHLD
///   vfork [ ... ]               a child in this process's memory; this process waits, uninterruptible, until it ends
///   thread-fork [ ... ]         a child whose parent is a second thread, which lives on
///   thread-fork-until=FIFO [ ... ]   the same, but the thread ends when somebody writes into the FIFO
///   thread-exits-first          the first thread ends, a second one goes on with the steps
///   await=FIFO                  until somebody writes into it or closes it
///   await-stop                  until a child has been stopped
///   await-exit                  until a child has ended; it stays a zombie
///   wait                        until there is no child left
///   listen[=PORT]               on 127.0.0.1; says "listen:PORT"
///   close=FD,...
///   chain=N                     N lines of processes that fork and exit for ever
///   session-chain=N             the same, each in a session of its own
///   threads=N                   N threads that do nothing
///   lock=FILE                   holds flock(LOCK_EX) on it
///   stop-self                   SIGSTOP
///   stop-parent  stop-grandparent   SIGSTOP: to reapctl, if this is the command
///   kill-group=SIG              to its own process group, as kill 0
///   keep-stopping-parent        SIGSTOP every millisecond, by a child of its own
///   cgroup=DIR  parent-cgroup=DIR   moves this process, or its parent, into a cgroup v2
///   write=FILE:TEXT             into a file that exists, as into cgroup.freeze
///   show-argv ARG...            prints the arguments, each with a NUL behind it, and exits 0
///   exec ARG...                 becomes another program
///   exit=N  kill-self=SIG
#include "misbehave_basics.hpp"
#include "misbehave_hostile.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <iterator>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <string>
#include <string_view>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace misbehave {
namespace {

void listen_on(std::string_view port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int yes = 1;
  (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(std::atoi(port.data())));
  socklen_t size = sizeof address;
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), size) != 0) fail("bind", port);
  if (listen(fd, 8) != 0) fail("listen", port);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) fail("getsockname", port);
  announce("listen:" + std::to_string(ntohs(address.sin_port)));
}

pid_t raw_clone(unsigned long flags) {
  return static_cast<pid_t>(syscall(SYS_clone, flags, nullptr, nullptr, nullptr, nullptr));
}

/// The steps of one process: a slice of argv.
struct Steps {
  char** next;
  char** end;
};

void run(Steps steps);

[[noreturn]] void be_child(Steps steps) {
  arm_lifetime();
  run(steps);
  for (;;) pause();
}

void await_writer(std::string_view fifo) {
  const int fd = open(fifo.data(), O_RDONLY | O_CLOEXEC);
  char byte = 0;
  while (fd >= 0 && read(fd, &byte, 1) < 0 && errno == EINTR) continue;
  close(fd);
}

struct ThreadWork {
  Steps steps;
  bool as_child;
  std::string_view until;  ///< a FIFO; empty: for ever
};

/// The body of a second thread: goes on with the steps itself, or gives them to a child it forks.
void* thread_main(void* argument) {
  const ThreadWork work = *static_cast<ThreadWork*>(argument);
  if (!work.as_child) be_child(work.steps);
  if (fork() == 0) be_child(work.steps);
  while (work.until.empty()) pause();
  await_writer(work.until);
  return nullptr;
}

void start_thread(ThreadWork* work) {
  pthread_t thread{};
  errno = pthread_create(&thread, nullptr, thread_main, work);
  if (errno != 0) fail("pthread_create");
}

/// The steps between the bracket at `at` and its partner; moves `at` behind the latter.
Steps bracketed(char**& at, char** end) {
  if (at == end || std::string_view(*at) != "[") fail("[ expected before", at == end ? "the end" : *at);
  char** const begin = ++at;
  for (int depth = 1; at != end; ++at) {
    if (std::string_view(*at) == "[") ++depth;
    if (std::string_view(*at) == "]" && --depth == 0) return {begin, at++};
  }
  fail("] missing");
}

int vfork_main(void* steps) {
  be_child(*static_cast<Steps*>(steps));
}

/// On a stack of its own, or it would overwrite what its parent returns to.
void vfork_child(Steps steps) {
  alignas(16) static char stack[256 * 1024];
  if (clone(vfork_main, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, &steps) < 0) fail("clone");
}

/// Steps that make a process. True if `step` was one.
bool run_family_step(std::string_view step, std::string_view value, Steps& steps) {
  constexpr std::string_view kFamilySteps[] = {"fork",         "double-fork", "clone-parent", "clone-silent",
                                               "clone-signal", "vfork",       "thread-fork",  "thread-fork-until"};
  if (std::find(std::begin(kFamilySteps), std::end(kFamilySteps), step) == std::end(kFamilySteps)) return false;
  const Steps inner = bracketed(steps.next, steps.end);
  if (step == "fork") {
    if (fork() == 0) be_child(inner);
  } else if (step == "double-fork") {
    const pid_t middle = fork();
    if (middle == 0) {
      if (fork() == 0) be_child(inner);
      _exit(0);
    }
    while (waitpid(middle, nullptr, 0) < 0 && errno == EINTR) {
    }
  } else if (step == "clone-parent") {
    if (raw_clone(CLONE_PARENT | SIGCHLD) == 0) be_child(inner);
  } else if (step == "clone-silent") {
    if (raw_clone(0) == 0) be_child(inner);
  } else if (step == "clone-signal") {
    if (raw_clone(static_cast<unsigned long>(signal_number(value))) == 0) be_child(inner);
  } else if (step == "vfork") {
    vfork_child(inner);
  } else {
    // For the thread, which may outlive this function.
    start_thread(new ThreadWork{.steps = inner, .as_child = true, .until = value});
  }
  return true;
}

/// Waits for a child to change its state, and leaves it to be waited for.
void await_child(int change) {
  siginfo_t info{};
  while (waitid(P_ALL, 0, &info, change | WNOWAIT | __WALL) < 0 && errno == EINTR) continue;
}

void wait_for_all_children() {
  while (waitpid(-1, nullptr, __WALL) > 0 || errno == EINTR) errno = 0;
}

/// Steps that end or replace the process. Returns only from a kill-self that does not kill.
void run_final_step(std::string_view step, Steps steps, std::string_view value) {
  if (step == "show-argv") {
    for (; steps.next != steps.end; ++steps.next) (void)!write(1, *steps.next, std::strlen(*steps.next) + 1);
    _exit(0);
  }
  if (step == "exec") {
    std::vector<char*> arguments(steps.next, steps.end);  // which may end at a bracket
    arguments.push_back(nullptr);
    execvp(arguments[0], arguments.data());
    fail("exec", arguments[0]);
  }
  if (step == "env-clear") {
    static char name[] = "misbehave";
    static char option[] = "--ready";
    std::vector<char*> arguments{name};
    if (ready_path != nullptr) arguments.insert(arguments.end(), {option, const_cast<char*>(ready_path)});
    arguments.insert(arguments.end(), steps.next, steps.end);
    arguments.push_back(nullptr);
    char* no_environment[] = {nullptr};
    execve("/proc/self/exe", arguments.data(), no_environment);
    fail("execve");
  }
  if (step == "thread-exits-first") {
    start_thread(new ThreadWork{.steps = steps, .as_child = false, .until = {}});
    syscall(SYS_exit, 0);  // this thread only, exit(2)
  }
  if (step == "exit") _exit(std::atoi(value.data()));
  if (step != "kill-self") {
    errno = EINVAL;
    fail("unknown step", step);
  }
  set_dispositions(value, SIG_DFL);
  const sigset_t set = signal_set(value);
  sigprocmask(SIG_UNBLOCK, &set, nullptr);
  kill(getpid(), signal_number(value));
}

void say_open_descriptors() {
  std::string text = "fds:";
  for (int fd = 0; fd < 256; ++fd) {
    if (fcntl(fd, F_GETFD) >= 0) text += (text.back() == ':' ? "" : ",") + std::to_string(fd);
  }
  announce(text);
}

void block(std::string_view list) {
  const sigset_t set = signal_set(list);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

struct Step {
  std::string_view name;
  void (*act)(std::string_view value);
};

/// Steps after which the process goes on with the next one.
constexpr Step kSteps[] = {
    {"ready", announce},
    {"say-fds", [](std::string_view) { say_open_descriptors(); }},
    {"setsid", [](std::string_view) { setsid(); }},
    {"setpgid", [](std::string_view) { setpgid(0, 0); }},
    {"ignore", [](std::string_view list) { set_dispositions(list, SIG_IGN); }},
    {"default", [](std::string_view list) { set_dispositions(list, SIG_DFL); }},
    {"block", block},
    {"on", set_reaction},
    {"become-effective-user", [](std::string_view) { (void)setresuid(geteuid(), geteuid(), geteuid()); }},
    {"subreaper", [](std::string_view) { prctl(PR_SET_CHILD_SUBREAPER, 1); }},
    {"comm", [](std::string_view name) { prctl(PR_SET_NAME, name.data()); }},
    {"listen", listen_on},
    {"chain", [](std::string_view count) { start_chains(count, false); }},
    {"session-chain", [](std::string_view count) { start_chains(count, true); }},
    {"threads", start_threads},
    {"lock", hold_lock},
    {"serve-nothing", serve_nothing_at},
    {"secret", [](std::string_view) { prctl(PR_SET_DUMPABLE, 0); }},
    {"stop-parent", [](std::string_view) { kill(getppid(), SIGSTOP); }},
    {"stop-grandparent", [](std::string_view) { kill(parent_of(getppid()), SIGSTOP); }},
    {"kill-group", [](std::string_view name) { kill(0, signal_number(name)); }},
    {"keep-stopping-parent", [](std::string_view) { keep_stopping(getppid()); }},
    {"cgroup", [](std::string_view directory) { enter_cgroup(directory, getpid()); }},
    {"parent-cgroup", [](std::string_view directory) { enter_cgroup(directory, getppid()); }},
    {"write", write_into},
    {"stop-self", [](std::string_view) { raise(SIGSTOP); }},
    {"env-overwrite",
     [](std::string_view) {
       for (char** entry = environ; *entry != nullptr; ++entry) std::memset(*entry, 'x', std::strlen(*entry));
     }},
    {"close",
     [](std::string_view list) { for_each_item(list, [](std::string_view fd) { close(std::atoi(fd.data())); }); }},
    {"await", await_writer},
    {"await-stop", [](std::string_view) { await_child(WSTOPPED); }},
    {"await-exit", [](std::string_view) { await_child(WEXITED); }},
    {"wait", [](std::string_view) { wait_for_all_children(); }},
};

void run(Steps steps) {
  while (steps.next != steps.end) {
    const std::string_view step = *steps.next++;
    const std::size_t equals = step.find('=');
    const std::string_view name = step.substr(0, equals);
    const std::string_view value = equals == std::string_view::npos ? std::string_view("") : step.substr(equals + 1);
    const auto* known =
        std::find_if(std::begin(kSteps), std::end(kSteps), [&](const Step& s) { return s.name == name; });
    if (known != std::end(kSteps)) {
      known->act(value);
    } else if (!run_family_step(name, value, steps)) {
      run_final_step(name, steps, value);
    }
  }
}

}  // namespace
}  // namespace misbehave

int main(int argc, char** argv) {
  misbehave::Steps steps{argv + 1, argv + argc};
  if (argc > 2 && std::string_view(argv[1]) == "--ready") {
    misbehave::ready_path = argv[2];
    steps.next = argv + 3;
  }
  misbehave::be_child(steps);
}
