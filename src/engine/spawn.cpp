#include "engine/spawn.hpp"

#include "engine/remover.hpp"
#include "sys/children.hpp"
#include "sys/clone.hpp"
#include "sys/descriptors.hpp"
#include "sys/pid_fd.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <functional>
#include <pthread.h>
#include <span>
#include <string_view>
#include <sys/prctl.h>
#include <unistd.h>
#include <utility>

namespace reapctl::engine {
namespace {

/// What parent and child share while the child borrows the parent's memory. The child only follows pointers that
/// are ready and makes system calls: nothing here may allocate.
struct ChildPlan {
  const SpawnRequest* request = nullptr;
  pid_t parent = -1;
  std::vector<std::string> candidates;   ///< files to try, in order of PATH
  std::vector<char*> argv;               ///< null-terminated
  std::vector<char*> shell_argv;         ///< /bin/sh CANDIDATE ARG..., null-terminated
  std::vector<const char*> environment;  ///< null-terminated
  std::size_t executed = 0;              ///< out: the candidate tried last
  core::MainOnRecord on_record;          ///< out: pid 0 if it could not be written down
  const char* failed_stage = nullptr;    ///< out: null while all is well
  int failed_errno = 0;                  ///< out
};

constexpr char kShell[] = "/bin/sh";

/// The files execvp(3) would try for `command`.
std::vector<std::string> executable_candidates(const std::string& command) {
  if (command.empty() || command.find('/') != std::string::npos) return {command};
  const char* path = std::getenv("PATH");
  std::string_view rest = path != nullptr ? path : "/bin:/usr/bin";
  std::vector<std::string> candidates;
  while (true) {
    const auto colon = rest.find(':');
    std::string candidate(rest.substr(0, colon));
    if (!candidate.empty()) candidate += '/';  // an empty element is the current directory
    candidates.push_back(candidate + command);
    if (colon == std::string_view::npos) return candidates;
    rest.remove_prefix(colon + 1);
  }
}

char* writable(const std::string& text) {
  return const_cast<char*>(text.c_str());
}  // execve(2) does not write to it

ChildPlan make_plan(const SpawnRequest& request) {
  ChildPlan plan;
  plan.request = &request;
  plan.parent = ::getpid();
  plan.candidates = executable_candidates(request.argv.front());
  for (const std::string& argument : request.argv) plan.argv.push_back(writable(argument));
  plan.argv.push_back(nullptr);
  plan.shell_argv = {const_cast<char*>(kShell), nullptr};
  plan.shell_argv.insert(plan.shell_argv.end(), plan.argv.begin() + 1, plan.argv.end());
  plan.environment = request.environment.entries();
  plan.environment.push_back(nullptr);
  return plan;
}

/// Returns only when nothing could be executed; errno is the one to report, as execvp(3) chooses it.
int execute(ChildPlan& plan) {
  auto* const environment = const_cast<char* const*>(plan.environment.data());
  bool denied = false;
  for (plan.executed = 0; plan.executed < plan.candidates.size(); ++plan.executed) {
    const std::string& file = plan.candidates[plan.executed];
    (void)::execve(file.c_str(), plan.argv.data(), environment);
    if (errno == ENOEXEC) {
      plan.shell_argv[1] = writable(file);
      (void)::execve(kShell, plan.shell_argv.data(), environment);
    }
    const bool searching = plan.candidates.size() > 1;
    if (!searching || (errno != ENOENT && errno != ENOTDIR && errno != EACCES)) return errno;
    if (errno == EACCES) denied = true;
  }
  return denied ? EACCES : ENOENT;
}

int fail(ChildPlan& plan, const char* stage, int code) {
  plan.failed_stage = stage;
  plan.failed_errno = code;
  return 127;  // seen by nobody: the stage says more
}

/// The number behind so many spaces; 0 if it is not there.
std::uint64_t number_behind(std::string_view text, int spaces) {
  std::size_t at = 0;
  for (; at < text.size() && spaces > 0; ++at) spaces -= text[at] == ' ' ? 1 : 0;
  std::uint64_t number = 0;
  for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at) {
    number = number * 10 + static_cast<std::uint64_t>(text[at] - '0');
  }
  return number;
}

/// By /proc/self/stat, proc_pid_stat(5), and so with the pids of the namespace that /proc and the record are of: after
/// unshare(2) ours is another one. The comm may hold any byte but ends at the last ')', and the fields behind it, from
/// the third on, have a space in front of each. Start ticks 0 if it cannot be read. By hand: proc::parse_stat
/// allocates.
core::MainOnRecord own_identity() {
  core::MainOnRecord self;
  const int fd = ::open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return self;
  std::array<char, 1024> buffer;
  const ssize_t length = ::read(fd, buffer.data(), buffer.size());
  (void)::close(fd);
  const std::string_view text(buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(length, 0)));
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string_view::npos) return self;
  const std::string_view fields = text.substr(name_end + 1);
  self.id = {.pid = static_cast<pid_t>(number_behind(text, 0)), .start_ticks = number_behind(fields, 22 - 2)};
  self.pgid = static_cast<pid_t>(number_behind(fields, 5 - 2));
  self.sid = static_cast<pid_t>(number_behind(fields, 6 - 2));
  return self;
}

/// The new process puts itself on record. Until then it holds the lock of the run as well, so that a sweep which finds
/// the lock free finds the identity of the command on record. It lets go of the locks before its exec: on a file
/// server that does not answer an exec never ends, and once both reapctl are dead a sweep, and a run that wants the
/// lock of --lock, would wait for it in vain.
void write_down(ChildPlan& plan) {
  const MainNote& note = plan.request->note;
  if (note.fd < 0) return;
  const core::MainOnRecord self = own_identity();
  std::array<char, 256> slot;
  if (self.id.start_ticks == 0 || note.size > slot.size()) return;
  note.fill(std::span(slot.data(), note.size), self);
  if (::pwrite(note.fd, slot.data(), note.size, static_cast<off_t>(note.offset)) == static_cast<ssize_t>(note.size)) {
    plan.on_record = self;
    for (const int fd : note.lock_fds) (void)::close(fd);  // our copies: the table of descriptors is not borrowed
  }
}

/// The signals pending for all of a process, a bit for each: ShdPnd in /proc/PID/status, proc_pid_status(5). None if it
/// cannot be read.
std::uint64_t pending_for(pid_t pid) {
  std::array<char, 32 * 1024> text;  // half of our stack: the user's groups, 65,536 at most, stand before that line
  std::array<char, 32> path{"/proc/"};
  std::array<char, 16> digits;
  std::size_t count = 0;
  for (pid_t rest = pid; rest > 0; rest /= 10) digits[count++] = static_cast<char>('0' + rest % 10);
  char* end = path.data() + 6;
  while (count > 0) *end++ = digits[--count];
  std::memcpy(end, "/status", sizeof "/status");
  const int fd = ::open(path.data(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  const ssize_t length = ::read(fd, text.data(), text.size());
  (void)::close(fd);
  const std::string_view status(text.data(), static_cast<std::size_t>(std::max<ssize_t>(length, 0)));
  constexpr std::string_view kLabel = "\nShdPnd:\t";
  const auto label = status.find(kLabel);
  if (label == std::string_view::npos) return 0;
  std::uint64_t pending = 0;
  for (const char digit : status.substr(label + kLabel.size(), 16)) {
    if (digit == '\n') break;
    pending = pending << 4U | static_cast<std::uint64_t>(digit <= '9' ? digit - '0' : digit - 'a' + 10);
  }
  return pending;
}

/// A key that was pressed, or a hang-up, before the child was in the group of the terminal has reached only reapctl,
/// which cannot tell it from one that has reached the command as well. All signals are blocked here: so one that has
/// come to the child in the meantime is not doubled by this, and acts on it as on any program before its exec.
void take_over_keys(const KeyListener& keys) {
  if (keys.pid == 0) return;
  if (const std::uint64_t pending = pending_for(keys.pid); pending != 0) {
    for (const int signal : kKeySignals) {
      if ((pending >> static_cast<unsigned>(signal - 1) & 1U) != 0) (void)::kill(::getpid(), signal);
    }
  }
  if (keys.taken_over != nullptr) keys.taken_over->store(true);
}

/// ^Z has reached the child before its exec. The child writes it into our memory while we wait for that exec.
volatile std::sig_atomic_t stop_came = 0;

void note_stop(int /*signal*/) {
  stop_came = 1;
}

/// A child that ^Z stops before its exec would hold us with it, deaf to everything, and nobody would tell the shell. So
/// ^Z only leaves a note, and the command gets it afterwards. A handler, unlike an ignored signal, ends with the exec,
/// execve(2); what the caller ignored stays so. `child_main` has this to itself: no CLONE_SIGHAND.
void put_off_stops() {
  struct sigaction caller {};
  if (sigaction(SIGTSTP, nullptr, &caller) == 0 && caller.sa_handler == SIG_DFL) (void)std::signal(SIGTSTP, note_stop);
}

/// Runs in the child, in the parent's memory, on a stack of its own; the parent does next to nothing until the exec.
#if defined(__SANITIZE_ADDRESS__)
__attribute__((no_sanitize("address")))
#endif
int child_main(void* argument) {
  auto& plan = *static_cast<ChildPlan*>(argument);
  const SpawnRequest& request = *plan.request;
  if (request.pid_out != nullptr) request.pid_out->store(::getpid());
  if (request.group && ::setpgid(0, *request.group) != 0) return fail(plan, "setpgid", errno);
  write_down(plan);  // before anything that a file server could hold up, as the close of what is replaced here
  // Killed already: then the guard may have taken over before there was a pid to be found, and have made a new record.
  // 0 is a parent in another PID namespace.
  if (const pid_t parent = ::getppid(); parent != plan.parent && parent != 0) return fail(plan, "exec", ECHILD);
  take_over_keys(request.keys);
  if (request.stdout_fd >= 0 && ::dup2(request.stdout_fd, STDOUT_FILENO) < 0) return fail(plan, "stdout", errno);
  if (request.stderr_fd >= 0 && ::dup2(request.stderr_fd, STDERR_FILENO) < 0) return fail(plan, "stderr", errno);
  if (request.directory_fd >= 0 && ::fchdir(request.directory_fd) != 0) return fail(plan, "chdir", errno);
  if (request.no_new_privs && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail(plan, "no-new-privs", errno);
  for (const int fd : request.close_fds) (void)::close(fd);
  if (request.caller_signals.child_ignored) (void)std::signal(SIGCHLD, SIG_IGN);
  if (request.group != 0) put_off_stops();  // no terminal knows a group that is new
  // Last: from here on a signal acts on the child as it would on the command.
  (void)pthread_sigmask(SIG_SETMASK, &request.caller_signals.mask, nullptr);
  return fail(plan, "exec", execute(plan));
}

/// How long an exec takes before one asks whether it is still wanted, and between two such questions.
constexpr std::chrono::milliseconds kLongExec{20};

/// How long a process that was killed may take to let go of our memory. One that needs longer is in the kernel, and
/// will not come back to use it.
constexpr std::chrono::milliseconds kDying{1000};

/// Until the new process has let go of our memory, by its exec or its end: then the last copy of the other end of this
/// pipe is closed, which is after that (begin_new_exec in fs/exec.c, do_exit). False if it was given up. It is no
/// command yet, so nothing is lost with it; SIGTERM first, for in the end it may be one.
bool await_exec(int pipe_fd, int pid_fd, const std::function<bool()>& in_vain) {
  while (!sys::becomes_ready(pipe_fd, 0, kLongExec)) {
    if (!in_vain || !in_vain()) continue;
    (void)sys::send_signal(pid_fd, SIGTERM);
    if (sys::becomes_ready(pipe_fd, 0, kLongExec)) return false;
    (void)sys::send_signal(pid_fd, SIGKILL);
    (void)sys::becomes_ready(pipe_fd, 0, kDying);
    return false;
  }
  return true;
}

Spawned not_started(const char* stage, int code) {
  Spawned nothing;
  nothing.failed_stage = stage;
  nothing.failed_errno = code;
  return nothing;
}

}  // namespace

Spawned spawn(const SpawnRequest& request) {
  assert(!removal_threads_exist());
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return not_started("fork", errno);
  const sys::UniqueFd reader(ends[0]);
  sys::UniqueFd writer(ends[1]);
  ChildPlan plan = make_plan(request);
  alignas(16) static std::array<std::byte, 64 * 1024> stack;
  stop_came = 0;
  auto cloned = request.cgroup_fd >= 0 ? sys::clone_child_into(request.cgroup_fd, child_main, &plan, stack)
                                       : sys::clone_child(child_main, &plan, stack);
  if (!cloned) {
    const int code = cloned.error().code;
    return not_started(request.cgroup_fd < 0 || code == EAGAIN || code == ENOMEM ? "fork" : "cgroup", code);
  }
  writer.reset();
  Spawned spawned;
  spawned.given_up = !await_exec(reader.get(), cloned->pid_fd.get(), request.in_vain);
  spawned.pid = cloned->pid;
  spawned.pid_fd = std::move(cloned->pid_fd);
  if (plan.failed_stage == nullptr) {
    spawned.executable = plan.candidates[plan.executed];
    if (plan.on_record.id.pid != 0) spawned.on_record = plan.on_record;
    if (stop_came != 0) (void)sys::send_signal(spawned.pid_fd.get(), SIGTSTP);  // it may have ended
    return spawned;
  }
  spawned.failed_stage = plan.failed_stage;
  spawned.failed_errno = plan.failed_errno;
  sys::wait_and_reap(spawned.pid);
  spawned.pid = -1;
  return spawned;
}

}  // namespace reapctl::engine
