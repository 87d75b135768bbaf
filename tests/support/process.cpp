#include "support/process.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <poll.h>
#include <sstream>
#include <stdexcept>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace reapctl::test {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

milliseconds until(steady_clock::time_point deadline) {
  return std::max(milliseconds(0), std::chrono::ceil<milliseconds>(deadline - steady_clock::now()));
}

}  // namespace

std::optional<ProcStat> read_stat(pid_t pid) {
  const std::string text = read_file("/proc/" + std::to_string(pid) + "/stat");
  const std::size_t open = text.find('(');
  const std::size_t close = text.rfind(')');
  if (open == std::string::npos || close == std::string::npos) return std::nullopt;
  ProcStat stat;
  stat.comm = text.substr(open + 1, close - open - 1);
  std::istringstream fields(text.substr(close + 1));
  std::string skipped;
  fields >> stat.state >> stat.ppid >> stat.pgid >> stat.sid >> skipped >> stat.foreground_pgid;
  for (int field = 9; field <= 19; ++field) fields >> skipped;
  fields >> stat.threads >> skipped >> stat.start_ticks;
  return stat;
}

std::optional<Process> identify(pid_t pid) {
  const std::optional<ProcStat> stat = read_stat(pid);
  if (!stat) return std::nullopt;
  return Process{.pid = pid, .start_ticks = stat->start_ticks, .role = stat->comm};
}

bool is_alive(const Process& process) {
  const std::optional<ProcStat> stat = read_stat(process.pid);
  if (!stat || stat->start_ticks != process.start_ticks || stat->state == 'X') return false;
  return stat->state != 'Z' || stat->threads > 1;
}

std::vector<pid_t> children_of(pid_t pid) {
  std::vector<pid_t> children;
  std::error_code ignored;
  for (const auto& task : fs::directory_iterator("/proc/" + std::to_string(pid) + "/task", ignored)) {
    std::istringstream text(read_file(task.path() / "children"));
    for (pid_t child = 0; text >> child;) children.push_back(child);
  }
  return children;
}

std::uint64_t signal_mask(const std::string& status, const std::string& field) {
  const std::size_t at = status.find("\n" + field + ":");
  return at == std::string::npos ? ~0ULL : std::stoull(status.substr(at + field.size() + 2), nullptr, 16);
}

void send_signal(pid_t pid, int signal) {
  ASSERT_GT(pid, 1);
  EXPECT_EQ(::kill(pid, signal), 0) << std::strerror(errno);
}

std::string describe(pid_t pid) {
  const std::string directory = "/proc/" + std::to_string(pid);
  const std::optional<ProcStat> stat = read_stat(pid);
  if (!stat) return std::to_string(pid) + " (gone)";
  std::string arguments = read_file(directory + "/cmdline");
  std::replace(arguments.begin(), arguments.end(), '\0', ' ');
  std::ostringstream text;
  text << pid << " (" << stat->comm << ") " << stat->state << " ppid " << stat->ppid << " pgid " << stat->pgid
       << " sid " << stat->sid << ' ' << read_file(directory + "/wchan") << ": " << arguments;
  return text.str();
}

std::string describe_tree(pid_t root) {
  std::string text = describe(root) + "\n";
  for (const pid_t child : children_of(root)) text += describe_tree(child);
  return text;
}

bool await_end(pid_t pid, milliseconds patience) {
  const int fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  if (fd < 0) return errno == ESRCH;
  const auto deadline = steady_clock::now() + patience;
  pollfd poll_set{.fd = fd, .events = POLLIN, .revents = 0};
  int ready = 0;
  do {
    ready = ::poll(&poll_set, 1, static_cast<int>(until(deadline).count()));
  } while (ready < 0 && errno == EINTR);
  ::close(fd);
  return ready == 1;
}

bool await(const std::function<bool()>& condition, milliseconds patience) {
  const auto deadline = steady_clock::now() + patience;
  while (!condition()) {
    if (steady_clock::now() >= deadline) return false;
    ::poll(nullptr, 0, 5);
  }
  return true;
}

Roster::Roster() {
  if (::mkfifo(path().c_str(), 0600) != 0) throw std::runtime_error("mkfifo");
  // For reading and writing: it never ends while writers come and go, fifo(7).
  fd_ = ::open(path().c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd_ < 0) throw std::runtime_error("open the roster");
}

Roster::~Roster() {
  ::close(fd_);
}

std::string Roster::path() const {
  return directory_ / "ready";
}

std::optional<Process> Roster::read_line(milliseconds patience) {
  const auto deadline = steady_clock::now() + patience;
  std::size_t end = buffer_.find('\n');
  while (end == std::string::npos) {
    char bytes[4096];
    const ssize_t count = ::read(fd_, bytes, sizeof bytes);
    if (count > 0) {
      buffer_.append(bytes, static_cast<std::size_t>(count));
    } else {
      if (steady_clock::now() >= deadline) return std::nullopt;
      pollfd poll_set{.fd = fd_, .events = POLLIN, .revents = 0};
      (void)::poll(&poll_set, 1, static_cast<int>(until(deadline).count()));
    }
    end = buffer_.find('\n');
  }
  std::istringstream line(buffer_.substr(0, end));
  buffer_.erase(0, end + 1);
  Process process;
  line >> process.pid >> process.start_ticks;
  std::getline(line >> std::ws, process.role);
  return process;
}

Process Roster::next(milliseconds patience) {
  const std::optional<Process> process = read_line(patience);
  if (!process) ADD_FAILURE() << "no process said anything\n" << describe_tree(::getpid());
  return process.value_or(Process{});
}

std::map<std::string, Process> Roster::await_roles(std::vector<std::string> roles) {
  std::map<std::string, Process> seen;
  const auto missing = [&] {
    return std::find_if(roles.begin(), roles.end(), [&](const std::string& role) { return seen.count(role) == 0; });
  };
  while (missing() != roles.end()) {
    const std::optional<Process> process = read_line(kPatience);
    if (!process) {
      ADD_FAILURE() << "no process said \"" << *missing() << "\"\n" << describe_tree(::getpid());
      for (const std::string& role : roles) seen.try_emplace(role);
      break;
    }
    seen[process->role] = *process;
  }
  return seen;
}

std::vector<Process> Roster::take_all() {
  std::vector<Process> all;
  while (std::optional<Process> process = read_line(milliseconds(0))) all.push_back(*process);
  return all;
}

Gate::Gate() {
  if (::mkfifo(path().c_str(), 0600) != 0) throw std::runtime_error("mkfifo");
  fd_ = ::open(path().c_str(), O_RDWR | O_CLOEXEC);
  if (fd_ < 0) throw std::runtime_error("open the gate");
}

Gate::~Gate() {
  ::close(fd_);
}

std::string Gate::path() const {
  return directory_ / "gate";
}

void Gate::open(std::size_t count) {
  // Each takes one byte; what is not taken stays in the pipe for one that comes later.
  const std::string bytes(count, 'x');
  if (::write(fd_, bytes.data(), count) != static_cast<ssize_t>(count)) throw std::runtime_error("write into the gate");
}

}  // namespace reapctl::test
