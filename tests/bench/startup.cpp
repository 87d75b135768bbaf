// Measures how long commands take from spawn to reaped, interleaved, and compares them with one of them.
//
//   startup ROUNDS BASELINE NAME COMMAND [ARG...] [, NAME COMMAND [ARG...]]...
//
// Every round runs every command once, each round beginning with the next one, so that a slow moment of the machine
// hits all alike. Wall time is taken around posix_spawn and wait4. CPU time and peak memory are wait4's: those of the
// command and of all that it waited for. The kernel counts the memory of this program as the command's until exec,
// which is why it is linked static and keeps little; the row that runs the payload alone shows that floor.
#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace {

struct Subject {
  const char* name = nullptr;
  std::vector<char*> argv;  ///< ends in a null pointer
  std::vector<std::uint32_t> wall_us;
  std::vector<std::uint32_t> cpu_us;
  std::vector<std::uint32_t> peak_kb;
};

[[noreturn]] void die(const char* what, const char* subject) {
  std::fprintf(stderr, "startup: %s: %s\n", what, subject);
  std::exit(1);
}

std::int64_t now_ns() {
  timespec at{};
  clock_gettime(CLOCK_MONOTONIC, &at);
  return static_cast<std::int64_t>(at.tv_sec) * 1'000'000'000 + at.tv_nsec;
}

std::int64_t micros(const timeval& t) {
  return static_cast<std::int64_t>(t.tv_sec) * 1'000'000 + t.tv_usec;
}

/// Runs one command to its end and notes what it cost; anything but exit 0 ends the measurement, since it would measure
/// something else.
void run_once(Subject& subject, const posix_spawn_file_actions_t& quiet) {
  pid_t pid = 0;
  const std::int64_t begin = now_ns();
  const int error = posix_spawnp(&pid, subject.argv[0], &quiet, nullptr, subject.argv.data(), environ);
  if (error != 0) die(subject.name, std::strerror(error));
  int status = 0;
  rusage usage{};
  while (wait4(pid, &status, 0, &usage) < 0) {
    if (errno != EINTR) die("wait4", std::strerror(errno));
  }
  const std::int64_t end = now_ns();
  if (status != 0) die(subject.name, "did not exit 0");
  subject.wall_us.push_back(static_cast<std::uint32_t>((end - begin) / 1000));
  subject.cpu_us.push_back(static_cast<std::uint32_t>(micros(usage.ru_utime) + micros(usage.ru_stime)));
  subject.peak_kb.push_back(static_cast<std::uint32_t>(usage.ru_maxrss));
}

double median(std::vector<std::uint32_t> samples) {
  std::sort(samples.begin(), samples.end());
  const std::size_t half = samples.size() / 2;
  return samples.size() % 2 == 1 ? samples[half] : (samples[half - 1] + samples[half]) / 2.0;
}

std::vector<Subject> parse_subjects(char** words, char** end) {
  std::vector<Subject> subjects;
  while (words < end) {
    Subject subject;
    subject.name = *words++;
    for (; words < end && std::strcmp(*words, ",") != 0; ++words) subject.argv.push_back(*words);
    if (subject.argv.empty()) die(subject.name, "has no command");
    subject.argv.push_back(nullptr);
    subjects.push_back(std::move(subject));
    ++words;
  }
  return subjects;
}

void print_table(const std::vector<Subject>& subjects, const char* baseline) {
  const Subject* base = nullptr;
  for (const Subject& subject : subjects) {
    if (std::strcmp(subject.name, baseline) == 0) base = &subject;
  }
  std::printf("%-34s %9s %9s %9s", "median", "wall ms", "cpu ms", "peak MB");
  if (base != nullptr) std::printf("   of %s: %6s %6s %6s", baseline, "wall", "cpu", "peak");
  std::printf("\n");
  const int indent = base != nullptr ? static_cast<int>(std::strlen(baseline)) + 14 : 0;
  for (const Subject& subject : subjects) {
    const double wall = median(subject.wall_us);
    const double cpu = median(subject.cpu_us);
    const double peak = median(subject.peak_kb);
    std::printf("%-34s %9.3f %9.3f %9.2f", subject.name, wall / 1000, cpu / 1000, peak / 1024);
    if (base != nullptr) {
      std::printf("%*.2f %6.2f %6.2f", indent, wall / median(base->wall_us), cpu / median(base->cpu_us),
                  peak / median(base->peak_kb));
    }
    std::printf("\n");
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 4 ? std::atoi(argv[1]) : 0;
  if (rounds < 1) die("usage", "startup ROUNDS BASELINE NAME COMMAND [ARG...] [, NAME COMMAND [ARG...]]...");
  std::vector<Subject> subjects = parse_subjects(argv + 3, argv + argc);

  // Reports and warnings must not reach a terminal: drawing them would be measured too.
  posix_spawn_file_actions_t quiet;
  posix_spawn_file_actions_init(&quiet);
  posix_spawn_file_actions_addopen(&quiet, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&quiet, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_adddup2(&quiet, STDOUT_FILENO, STDERR_FILENO);

  for (Subject& subject : subjects) {  // one round to fill the page cache, not counted
    run_once(subject, quiet);
    for (auto* samples : {&subject.wall_us, &subject.cpu_us, &subject.peak_kb}) {
      samples->clear();
      samples->reserve(static_cast<std::size_t>(rounds));
    }
  }
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < subjects.size(); ++i) {
      run_once(subjects[(i + static_cast<std::size_t>(round)) % subjects.size()], quiet);
    }
  }
  posix_spawn_file_actions_destroy(&quiet);
  print_table(subjects, argv[2]);
  return 0;
}
