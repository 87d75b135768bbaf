#include "support/terminal.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <stdexcept>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace reapctl::test {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

Terminal::Terminal(Args argv, const std::map<std::string, std::string>& env) {
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) throw std::runtime_error("become a subreaper");
  std::vector<char*> pointers;
  for (std::string& argument : argv) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  winsize size{.ws_row = 24, .ws_col = 200, .ws_xpixel = 0, .ws_ypixel = 0};
  pid_ = ::forkpty(&master_, nullptr, nullptr, &size);
  if (pid_ < 0) throw std::runtime_error("forkpty");
  if (pid_ == 0) {
    for (int number = 1; number < NSIG; ++number) (void)::signal(number, SIG_DFL);  // not all can be set, ignoring
    for (const auto& [name, value] : env) ::setenv(name.c_str(), value.c_str(), 1);
    ::execvp(pointers[0], pointers.data());
    ::_exit(98);
  }
  ::fcntl(master_, F_SETFD, FD_CLOEXEC);
}

void Terminal::hang_up() {
  if (master_ >= 0) ::close(master_);
  master_ = -1;
  if (pid_ > 0) {
    EXPECT_TRUE(await_end(pid_)) << "did not end at the hang-up\n" << describe_tree(pid_) << screen_;
    ::kill(pid_, SIGKILL);
    (void)::waitpid(pid_, nullptr, 0);
  }
  pid_ = -1;
}

Terminal::~Terminal() {
  hang_up();
  // What the hang-up ends may take a moment to clean up behind the program's back.
  (void)await([] {
    while (::waitpid(-1, nullptr, WNOHANG | __WALL) > 0) continue;
    return children_of(::getpid()).empty();
  });
  for (const std::string& process : kill_leftovers({})) ADD_FAILURE() << "left behind: " << process << '\n' << screen_;
}

void Terminal::type(std::string_view keys) const {
  EXPECT_EQ(::write(master_, keys.data(), keys.size()), static_cast<ssize_t>(keys.size()));
}

bool Terminal::read_more(steady_clock::time_point deadline) {
  const auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now());
  pollfd poll_set{.fd = master_, .events = POLLIN, .revents = 0};
  const int ready = ::poll(&poll_set, 1, static_cast<int>(std::max<milliseconds::rep>(0, left.count())));
  if (ready < 0 && errno == EINTR) return true;
  if (ready <= 0) return false;
  char bytes[4096];
  const ssize_t count = ::read(master_, bytes, sizeof bytes);
  if (count <= 0) return false;  // EIO: nobody has the other end open any more, pty(7)
  screen_.append(bytes, static_cast<std::size_t>(count));
  return true;
}

std::string Terminal::expect(std::string_view text, milliseconds patience) {
  const auto deadline = steady_clock::now() + patience;
  std::size_t at = screen_.find(text, expected_);
  while (at == std::string::npos) {
    if (!read_more(deadline)) {
      ADD_FAILURE() << "never on the screen: \"" << text << "\"\n" << screen_ << "\n" << describe_tree(::getpid());
      return {};
    }
    at = screen_.find(text, expected_);
  }
  std::string before = screen_.substr(expected_, at - expected_);
  expected_ = at + text.size();
  return before;
}

pid_t Terminal::foreground() const {
  return ::tcgetpgrp(master_);
}

void Terminal::resize(unsigned short rows, unsigned short columns) const {
  winsize size{.ws_row = rows, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
  EXPECT_EQ(::ioctl(master_, TIOCSWINSZ, &size), 0);
}

int Terminal::wait_for_end() {
  const auto deadline = steady_clock::now() + kPatience;
  while (read_more(deadline)) continue;  // a full screen must not keep it from ending
  const auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now());
  EXPECT_TRUE(await_end(pid_, std::max(milliseconds(0), left))) << "did not end\n" << describe_tree(pid_) << screen_;
  ::kill(pid_, SIGKILL);
  int status = 0;
  (void)::waitpid(pid_, &status, 0);
  pid_ = -1;
  return status;
}

namespace {

Args shell_command(Shell::Kind kind) {
  if (kind == Shell::Kind::bash) return {"bash", "--norc", "--noprofile", "--noediting", "-i"};
  return {"dash", "-i"};
}

}  // namespace

Shell::Shell(Kind kind)
    : Terminal(shell_command(kind), {{"PS1", "READY> "}, {"ENV", ""}, {"HISTFILE", ""}, {"TERM", "dumb"}}) {
  prompt();
}

void Shell::enter(std::string_view line) const {
  type(std::string(line) + "\n");
}

void Shell::prompt() {
  (void)expect("READY> ");
}

int Shell::status() {
  enter("echo status=$?,");
  (void)expect("\nstatus=");
  const std::string number = expect(",");
  prompt();
  return number.empty() ? -1 : std::atoi(number.c_str());
}

}  // namespace reapctl::test
