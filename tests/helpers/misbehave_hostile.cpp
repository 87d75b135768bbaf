#include "misbehave_hostile.hpp"

#include "misbehave_basics.hpp"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <string>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

namespace misbehave {
namespace {

timespec now() {
  timespec at{};
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at;
}

/// Every process of the line is gone a moment after it appeared; only the safety deadline ends it.
[[noreturn]] void run_chain(bool sessions) {
  const timespec start = now();
  for (;;) {
    if (now().tv_sec - start.tv_sec > kLifetimeSeconds) _exit(0);
    const pid_t child = fork();
    if (child > 0) _exit(0);  // the child carries on; EAGAIN tries again
    if (child == 0 && sessions) setsid();
  }
}

void* rest(void* /*unused*/) {
  for (;;) pause();
}

}  // namespace

void start_chains(std::string_view count, bool sessions) {
  for (int line = std::atoi(count.data()); line > 0; --line) {
    if (fork() == 0) run_chain(sessions);
  }
}

void start_threads(std::string_view count) {
  pthread_attr_t small{};
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 64 * 1024);
  for (int left = std::atoi(count.data()); left > 0; --left) {
    pthread_t thread{};
    errno = pthread_create(&thread, &small, rest, nullptr);
    if (errno != 0) fail("pthread_create");
  }
}

void hold_lock(std::string_view path) {
  const int fd = open(path.data(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0 || flock(fd, LOCK_EX) != 0) fail("lock", path);
}

pid_t parent_of(pid_t pid) {
  char text[1024] = {};
  const int fd = open(("/proc/" + std::to_string(pid) + "/stat").c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 || read(fd, text, sizeof text - 1) <= 0) fail("look at the parent");
  close(fd);
  const char* behind_name = std::strrchr(text, ')');
  int parent = 0;
  if (behind_name == nullptr || std::sscanf(behind_name + 1, " %*c %d", &parent) != 1 || parent <= 1) {
    errno = ESRCH;
    fail("look at the parent");
  }
  return parent;
}

void keep_stopping(pid_t pid) {
  if (pid <= 1 || fork() != 0) return;
  arm_lifetime();
  const timespec pause_for{.tv_sec = 0, .tv_nsec = 1'000'000};
  while (kill(pid, SIGSTOP) == 0) nanosleep(&pause_for, nullptr);
  for (;;) pause();
}

void enter_cgroup(std::string_view directory, pid_t pid) {
  write_into(std::string(directory) + "/cgroup.procs:" + std::to_string(pid));
}

void serve_nothing_at(std::string_view directory) {
  struct stat status {};
  const int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (fd < 0 || stat(directory.data(), &status) != 0) fail("serve", directory);
  const std::string user = std::to_string(status.st_uid);
  const std::string options = "fd=" + std::to_string(fd) + ",rootmode=40000,user_id=" + user + ",group_id=" + user;
  if (mount("test", directory.data(), "fuse", MS_NOSUID | MS_NODEV, options.c_str()) != 0) fail("mount", directory);
  if (fork() != 0) return;
  arm_lifetime();
  static char request[1U << 18U];
  while (read(fd, request, sizeof request) > 0) {
    fuse_in_header asked{};
    std::memcpy(&asked, request, sizeof asked);
    if (asked.opcode != FUSE_INIT) continue;
    struct {
      fuse_out_header header;
      fuse_init_out body;
    } answer{};
    answer.header.len = sizeof answer;
    answer.header.unique = asked.unique;
    answer.body.major = FUSE_KERNEL_VERSION;
    answer.body.minor = FUSE_KERNEL_MINOR_VERSION;
    answer.body.max_write = 65536;
    if (write(fd, &answer, sizeof answer) < 0) fail("answer");
  }
  _exit(0);
}

void write_into(std::string_view spec) {
  const std::size_t colon = spec.find(':');
  const std::string path(spec.substr(0, colon));
  const std::string_view text = spec.substr(colon + 1);
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size())) fail("write", spec);
  close(fd);
}

}  // namespace misbehave
