// Measures how long a signal takes from kill(2) to the command behind a wrapper, interleaved, and compares the
// wrappers.
//
//   signal ROUNDS BASELINE NAME WRAPPER [ARG...] [, NAME WRAPPER [ARG...]]...
//
// The word @ in a wrapper stands for the command: this program as `signal --receive`, which waits for SIGUSR1 with
// sigwaitinfo(2) and notes the time of its arrival in memory that it shares with the sender. A wrapper that is only @
// is the floor: a signal that goes straight to the command. Every round sends one signal to each, each round beginning
// with the next one. Between two signals everybody has time to go to sleep again, as in life.
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <linux/futex.h>
#include <string>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace {

constexpr int kSharedFd = 9;

struct Shared {
  std::atomic<std::uint32_t> arrivals;  ///< 1 when the command is ready, then one more for each signal
  std::atomic<std::int64_t> at_ns;
};

struct Subject {
  const char* name = nullptr;
  std::vector<char*> argv;
  Shared* shared = nullptr;
  pid_t pid = -1;
  std::uint32_t seen = 0;
  std::vector<double> latency_us;
};

[[noreturn]] void die(const char* what, const char* subject) {
  std::fprintf(stderr, "signal: %s: %s\n", what, subject);
  std::exit(1);
}

std::int64_t now_ns() {
  timespec at{};
  clock_gettime(CLOCK_MONOTONIC, &at);
  return static_cast<std::int64_t>(at.tv_sec) * 1'000'000'000 + at.tv_nsec;
}

Shared* map_shared(int fd) {
  void* memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) die("mmap", "shared memory");
  return static_cast<Shared*>(memory);
}

[[noreturn]] void receive() {
  Shared* shared = map_shared(kSharedFd);
  sigset_t wanted;
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGUSR1);
  sigprocmask(SIG_BLOCK, &wanted, nullptr);
  while (true) {
    shared->at_ns.store(now_ns());
    shared->arrivals.fetch_add(1);
    syscall(SYS_futex, &shared->arrivals, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
    if (sigwaitinfo(&wanted, nullptr) < 0) _exit(1);
  }
}

void await_arrival(Subject& subject) {
  const timespec patience{.tv_sec = 5, .tv_nsec = 0};
  while (subject.shared->arrivals.load() == subject.seen) {
    if (syscall(SYS_futex, &subject.shared->arrivals, FUTEX_WAIT, subject.seen, &patience, nullptr, 0) != 0 &&
        errno == ETIMEDOUT) {
      die(subject.name, "the signal did not arrive");
    }
  }
  subject.seen = subject.shared->arrivals.load();
}

void start(Subject& subject, char* self) {
  const int fd = memfd_create("arrivals", MFD_CLOEXEC);
  if (fd < 0 || ftruncate(fd, sizeof(Shared)) != 0) die("memfd_create", subject.name);
  subject.shared = map_shared(fd);
  static char option[] = "--receive";
  std::vector<char*> argv;
  for (char* word : subject.argv) {
    if (std::strcmp(word, "@") == 0) {
      argv.insert(argv.end(), {self, option});
    } else {
      argv.push_back(word);
    }
  }
  argv.push_back(nullptr);
  subject.pid = fork();
  if (subject.pid < 0) die("fork", subject.name);
  if (subject.pid == 0) {
    setsid();
    dup2(fd, kSharedFd);
    execvp(argv[0], argv.data());
    _exit(127);
  }
  close(fd);
  await_arrival(subject);
}

void send_one(Subject& subject) {
  const timespec rest{.tv_sec = 0, .tv_nsec = 300'000};
  nanosleep(&rest, nullptr);
  const std::int64_t sent = now_ns();
  kill(subject.pid, SIGUSR1);
  await_arrival(subject);
  subject.latency_us.push_back(static_cast<double>(subject.shared->at_ns.load() - sent) / 1000);
}

double at_quantile(std::vector<double> samples, double quantile) {
  std::sort(samples.begin(), samples.end());
  return samples[static_cast<std::size_t>(quantile * static_cast<double>(samples.size() - 1))];
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--receive") == 0) receive();
  const int rounds = argc > 4 ? std::atoi(argv[1]) : 0;
  if (rounds < 1) die("usage", "signal ROUNDS BASELINE NAME WRAPPER [ARG...] [, NAME WRAPPER [ARG...]]...");
  std::vector<Subject> subjects;
  for (char** word = argv + 3; word < argv + argc; ++word) {
    Subject subject;
    subject.name = *word++;
    for (; word < argv + argc && std::strcmp(*word, ",") != 0; ++word) subject.argv.push_back(*word);
    subjects.push_back(std::move(subject));
  }
  for (Subject& subject : subjects) start(subject, argv[0]);
  for (int round = -20; round < rounds; ++round) {
    if (round == 0) {
      for (Subject& subject : subjects) subject.latency_us.clear();  // everything is warm now
    }
    for (std::size_t i = 0; i < subjects.size(); ++i) {
      send_one(subjects[(i + static_cast<std::size_t>(round + 20)) % subjects.size()]);
    }
  }
  double base = 0;
  for (const Subject& subject : subjects) {
    if (std::strcmp(subject.name, argv[2]) == 0) base = at_quantile(subject.latency_us, 0.5);
  }
  std::printf("%-24s %10s %10s %10s\n", "latency in us", "median", "90 %", "of base");
  for (Subject& subject : subjects) {
    const double median = at_quantile(subject.latency_us, 0.5);
    std::printf("%-24s %10.1f %10.1f %10.2f\n", subject.name, median, at_quantile(subject.latency_us, 0.9),
                base > 0 ? median / base : 0.0);
    kill(subject.pid, SIGTERM);
  }
  for (const Subject& subject : subjects) waitpid(subject.pid, nullptr, 0);
  return 0;
}
