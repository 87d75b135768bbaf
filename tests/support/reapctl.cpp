#include "support/reapctl.hpp"

#include "support/json_sink.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <stdexcept>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace reapctl::test {

using std::chrono::steady_clock;

namespace {

/// All that this process has started and not yet waited for.
std::vector<pid_t>& running() {
  static std::vector<pid_t> pids;
  return pids;
}

int captured_file(const char* name) {
  const int fd = ::memfd_create(name, MFD_CLOEXEC);
  if (fd < 0) throw std::runtime_error("memfd_create");
  return fd;
}

std::string content(int fd) {
  std::string text;
  char bytes[65536];
  for (off_t at = 0;;) {
    const ssize_t count = ::pread(fd, bytes, sizeof bytes, at);
    if (count <= 0) return text;
    text.append(bytes, static_cast<std::size_t>(count));
    at += count;
  }
}

std::vector<std::string> environment_of(const Launch& launch) {
  std::vector<std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const std::string name = text.substr(0, text.find('='));
    const bool dropped = std::count(launch.unset_env.begin(), launch.unset_env.end(), name) != 0;
    if (!dropped && launch.env.count(name) == 0) result.push_back(text);
  }
  for (const auto& [name, value] : launch.env) result.push_back(name + "=" + value);
  return result;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (std::string& text : strings) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

void set_up_signals(const Launch& launch) {
  for (int number = 1; number < NSIG; ++number) (void)::signal(number, SIG_DFL);  // not all can be set, ignoring
  for (const int number : launch.ignored) (void)::signal(number, SIG_IGN);
  sigset_t blocked;
  sigemptyset(&blocked);
  for (const int number : launch.blocked) sigaddset(&blocked, number);
  ::sigprocmask(SIG_SETMASK, &blocked, nullptr);
}

/// Only system calls from here on. Sources are moved out of the way first, so that no target hits a source still
/// needed.
void set_up_descriptors(const Launch& launch, int in, int out, int err) {
  constexpr int kAside = 200;
  int standard[] = {::fcntl(in, F_DUPFD_CLOEXEC, kAside), ::fcntl(out, F_DUPFD_CLOEXEC, kAside),
                    ::fcntl(err, F_DUPFD_CLOEXEC, kAside)};
  int aside[32];
  std::size_t count = 0;
  for (const auto& [number, fd] : launch.fds) aside[count++] = ::fcntl(fd, F_DUPFD_CLOEXEC, kAside);
  ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);  // what ctest or a shell left open is no part of the test
  for (int number = 0; number < 3; ++number) ::dup2(standard[number], number);
  count = 0;
  for (const auto& [number, fd] : launch.fds) ::dup2(aside[count++], number);
  for (const int number : launch.closed) ::close(number);
}

struct ExecPlan {
  std::vector<std::string> argv;
  std::vector<std::string> env;
};

ExecPlan exec_plan(const Launch& launch, const std::string& report_path) {
  ExecPlan plan{.argv = launch.wrapper, .env = environment_of(launch)};
  plan.argv.push_back(reapctl_path());
  plan.argv.insert(plan.argv.end(), launch.args.begin(), launch.args.end());
  if (launch.with_report) {
    const auto run =
        std::find(plan.argv.begin() + static_cast<std::ptrdiff_t>(launch.wrapper.size()), plan.argv.end(), "run");
    plan.argv.insert(run + 1, {"--report", report_path});
  }
  return plan;
}

}  // namespace

Launch run_of(Args options, Args command) {
  Launch launch{.args = std::move(options), .with_report = true};
  launch.args.insert(launch.args.begin(), "run");
  launch.args.emplace_back("--");
  launch.args.insert(launch.args.end(), command.begin(), command.end());
  return launch;
}

Args sh(std::string script) {
  return {"sh", "-c", std::move(script)};
}

Args misbehave(Args steps) {
  steps.insert(steps.begin(), misbehave_path());
  return steps;
}

Args misbehave(const Roster& roster, Args steps) {
  steps.insert(steps.begin(), {misbehave_path(), "--ready", roster.path()});
  return steps;
}

int Outcome::code() const {
  return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

int Outcome::killed_by() const {
  return WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0;
}

struct Reapctl::State {
  Launch launch;
  TempDir directory;
  std::string report_path = directory / "report.json";
  std::string registry = directory / "registry";
  pid_t pid = -1;
  int out = captured_file("stdout");
  int err = captured_file("stderr");
  steady_clock::time_point started = steady_clock::now();
};

Reapctl::Reapctl(Launch launch) : state_(std::make_unique<State>()) {
  state_->launch = std::move(launch);
  // No test sees the runs of another one, or of the machine.
  const Args& unset = state_->launch.unset_env;
  for (const auto& [name, value] :
       {std::pair{"REAPCTL_REGISTRY", state_->registry.c_str()},
        std::pair{"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}}) {
    if (std::find(unset.begin(), unset.end(), name) == unset.end()) state_->launch.env.try_emplace(name, value);
  }
  const Launch& how = state_->launch;
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) throw std::runtime_error("become a subreaper");
  ExecPlan plan = exec_plan(how, state_->report_path);
  std::vector<char*> argv = pointers(plan.argv);
  std::vector<char*> env = pointers(plan.env);
  const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  const int in = how.stdin_fd >= 0 ? how.stdin_fd : null;
  const int out = how.stdout_fd >= 0 ? how.stdout_fd : state_->out;
  const int err = how.stderr_fd >= 0 ? how.stderr_fd : state_->err;
  state_->pid = ::fork();
  if (state_->pid < 0) throw std::runtime_error("fork");
  if (state_->pid == 0) {
    if (how.own_session) ::setsid();
    if (!how.cwd.empty() && ::chdir(how.cwd.c_str()) != 0) ::_exit(98);
    set_up_descriptors(how, in, out, err);
    set_up_signals(how);
    if (how.before_exec) how.before_exec();
    ::execvpe(argv[0], argv.data(), env.data());
    ::_exit(errno == E2BIG ? 97 : 98);
  }
  ::close(null);
  running().push_back(state_->pid);
}

Reapctl::Reapctl(Reapctl&&) noexcept = default;

Reapctl::~Reapctl() {
  if (!state_) return;
  if (state_->pid > 0) {
    ::kill(state_->pid, SIGKILL);
    (void)::waitpid(state_->pid, nullptr, 0);
    std::erase(running(), state_->pid);
    (void)kill_leftovers(running());
  }
  ::close(state_->out);
  ::close(state_->err);
}

pid_t Reapctl::pid() const {
  return state_->pid;
}

void Reapctl::send(int signal) const {
  send_signal(state_->pid, signal);
}

std::string Reapctl::err_so_far() const {
  return content(state_->err);
}

Outcome Reapctl::wait(std::chrono::milliseconds patience) {
  if (!await_end(state_->pid, patience)) {
    ADD_FAILURE() << "reapctl did not end in time\n" << describe_tree(state_->pid) << content(state_->err);
    ::kill(state_->pid, SIGKILL);
  }
  Outcome outcome;
  (void)::waitpid(state_->pid, &outcome.wait_status, 0);
  outcome.elapsed = std::chrono::duration_cast<std::chrono::milliseconds>(steady_clock::now() - state_->started);
  std::erase(running(), state_->pid);
  state_->pid = -1;
  if (!state_->launch.leaves_processes) {
    outcome.left_behind = kill_leftovers(running());
    for (const std::string& process : outcome.left_behind) ADD_FAILURE() << "left behind: " << process;
  }
  if (!state_->launch.leaves_processes && !state_->launch.leaves_record) {
    std::error_code absent;
    for (const auto& entry : std::filesystem::directory_iterator(state_->registry, absent)) {
      if (entry.path().filename() == "locks") continue;  // lock files stay
      ADD_FAILURE() << "left on record: " << read_file(entry.path() / "record.json");
    }
  }
  outcome.out = content(state_->out);
  outcome.err = content(state_->err);
  outcome.report_text = read_file(state_->report_path);
  if (!outcome.report_text.empty()) {
    EXPECT_EQ(outcome.report_text.find('\n'), outcome.report_text.size() - 1) << "one line: " << outcome.report_text;
    keep_json("report", outcome.report_text.substr(0, outcome.report_text.find('\n')));
    outcome.report = nlohmann::json::parse(outcome.report_text, nullptr, false);
    EXPECT_FALSE(outcome.report.is_discarded()) << outcome.report_text;
    const auto cgroup = outcome.report.value("/containment/cgroup/path"_json_pointer, std::string());
    EXPECT_TRUE(state_->launch.leaves_processes || cgroup.empty() || !std::filesystem::exists(cgroup)) << cgroup;
  }
  return outcome;
}

pid_t supervisor_of(const Process& main) {
  return read_stat(main.pid).value_or(ProcStat{}).ppid;
}

pid_t front_of(const Process& main) {
  const auto is_reapctl = [](pid_t pid) {
    std::error_code ignored;
    return std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/exe", ignored) == reapctl_path();
  };
  const pid_t supervisor = supervisor_of(main);
  const pid_t above = read_stat(supervisor).value_or(ProcStat{}).ppid;
  return is_reapctl(above) ? above : supervisor;
}

bool listens(pid_t reapctl) {
  std::error_code gone;
  for (const auto& fd : std::filesystem::directory_iterator("/proc/" + std::to_string(reapctl) + "/fd", gone)) {
    if (std::filesystem::read_symlink(fd.path(), gone) == "anon_inode:[signalfd]") return true;
  }
  return false;
}

Outcome run(Launch launch) {
  return Reapctl(std::move(launch)).wait();
}

Args kill_leftovers(const std::vector<pid_t>& keep) {
  Args found;
  const auto deadline = steady_clock::now() + kPatience;
  for (bool any = true; any && steady_clock::now() < deadline;) {
    any = false;
    for (const pid_t child : children_of(::getpid())) {
      if (std::count(keep.begin(), keep.end(), child) != 0) continue;
      any = true;
      found.push_back(describe(child));
      ::kill(child, SIGKILL);
      (void)::waitpid(child, nullptr, __WALL);
    }
  }
  return found;
}

}  // namespace reapctl::test
