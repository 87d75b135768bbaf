#include "hostile/kill_steps.hpp"
#include "support/environment.hpp"
#include "support/json_sink.hpp"
#include "support/process.hpp"
#include "support/reapctl.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

/// SIGKILL to the guard, the supervisor or both at each system call of a run, in front of it and behind it: what the
/// random instants of kill_soak_test.cpp may miss. By default at every eleventh, another one in each place of the
/// build; REAPCTL_TEST_EVERY=1 does them all.
namespace reapctl::test {
namespace {

namespace fs = std::filesystem;

/// How far it is from one kill to the next.
int stride(int by_default) {
  const char* wanted = std::getenv("REAPCTL_TEST_EVERY");
  return wanted != nullptr ? std::max(std::atoi(wanted), 1) : by_default;
}

bool nobody_left() {
  while (::waitpid(-1, nullptr, WNOHANG | __WALL) > 0) continue;
  return children_of(::getpid()).empty();
}

/// Of those that stay, if it comes to that, nobody may hold the place of the report open.
void expect_nobody_left() {
  EXPECT_TRUE(await([] { return nobody_left(); })) << describe_tree(::getpid());
  (void)kill_leftovers({});
}

class KillStep : public testing::TestWithParam<Victim> {
 protected:
  KillStep() { fs::create_directory(base_); }
  ~KillStep() override { (void)kill_leftovers({}); }

  /// False when the run was over before.
  bool cycle(int count, Place::Kind kind) {
    Place report(kind, directory_ / "log");
    Launch launch{.args = {"run", "--report", "fd:3", "--workdir-base", base_, "--ladder", "INT/TERM:100ms,KILL", "--",
                           misbehave_path(), "fork", "[", "setsid", "]", "exit=0"},
                  .env = {{"REAPCTL_REGISTRY", registry_}},
                  .fds = {{3, report.fd()}},
                  .leaves_processes = true};
    launch.before_exec = [] { (void)::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr); };
    Reapctl run(std::move(launch));
    Steps steps(run.pid(), GetParam());
    const bool struck = steps.kill_at(count);
    const bool one_left = GetParam() != Victim::both && steps.had_supervisor();
    if (struck && !one_left) sweep();
    expect_nobody_left();
    EXPECT_TRUE(fs::is_empty(base_));
    EXPECT_TRUE(!fs::exists(registry_) || fs::is_empty(registry_));
    const std::string text = report.text();
    const auto lines = std::count(text.begin(), text.end(), '\n');
    if (one_left) {
      EXPECT_EQ(lines, 1) << text;
      keep_json("report", text.substr(0, text.find('\n')));
    } else {
      EXPECT_LE(lines, 1) << text;
    }
    return struck;
  }

  void sweep() const {
    EXPECT_EQ(
        run({.args = {"sweep", "--ladder", "KILL"}, .env = {{"REAPCTL_REGISTRY", registry_}}, .leaves_processes = true})
            .code(),
        0);
    EXPECT_TRUE(await([] { return nobody_left(); })) << describe_tree(::getpid());
  }

  TempDir directory_;
  std::string base_ = directory_ / "base";
  std::string registry_ = directory_ / "registry";
};

INSTANTIATE_TEST_SUITE_P(EverySystemCall, KillStep, testing::Values(Victim::guard, Victim::supervisor, Victim::both),
                         [](const auto& victim) {
                           return victim.param == Victim::guard        ? "guard"
                                  : victim.param == Victim::supervisor ? "supervisor"
                                                                       : "both";
                         });

TEST_P(KillStep, LeavesNothing) {
  const int every = stride(11);
  int count = 1 + ::getpid() % every;
  int cycles = 0;
  for (; !HasFailure(); count += every) {
    SCOPED_TRACE("border " + std::to_string(count));
    if (!cycle(count, kPlaces[static_cast<std::size_t>(cycles) % std::size(kPlaces)])) break;
    ++cycles;
  }
  EXPECT_GT(cycles, 0);
  std::printf("%d kills at the borders of %d system calls\n", cycles, count / 2);
}

/// The same where the report is written: whatever the place, and however often it is written to, each byte comes once.
class KillOverReport : public testing::TestWithParam<Place::Kind> {
 protected:
  ~KillOverReport() override { (void)kill_leftovers({}); }

  /// Ends it at the border `count` behind the first look whether the place has room, for each `count` until there is
  /// none; gives to `check` what has arrived.
  void at_each_border(const Launch& launch, int every, const std::function<void(const std::string& text)>& check) {
    int cycles = 0;
    for (int count = 1 + ::getpid() % every; !HasFailure(); count += every, ++cycles) {
      SCOPED_TRACE("border " + std::to_string(count));
      Place place(GetParam(), directory_ / "log");
      Launch here = launch;
      here.env = {{"REAPCTL_REGISTRY", directory_ / "registry"}};
      here.leaves_processes = true;
      here.before_exec = [] { (void)::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr); };
      if (here.args[1] == "-q") {
        here.stdout_fd = here.stderr_fd = place.fd();
      } else {
        here.fds = {{3, place.fd()}};
      }
      Reapctl run(std::move(here));
      Steps steps(run.pid(), Victim::supervisor);
      steps.count_from(SYS_poll);
      const bool struck = steps.kill_at(count);
      expect_nobody_left();
      check(place.text());
      if (!struck) break;
    }
    EXPECT_GT(cycles, 0);
  }

  TempDir directory_;
};

INSTANTIATE_TEST_SUITE_P(EverySystemCall, KillOverReport, testing::ValuesIn(kPlaces), [](const auto& place) {
  switch (place.param) {
    case Place::Kind::file: return "file";
    case Place::Kind::appended_file: return "appended_file";
    case Place::Kind::pipe: return "pipe";
    case Place::Kind::socket: return "socket";
    case Place::Kind::terminal: return "terminal";
    case Place::Kind::appended_terminal: break;
  }
  return "appended_terminal";
});

TEST_P(KillOverReport, ComesOnce) {
  at_each_border({.args = {"run", "--report", "fd:3", "--", "true"}}, 1, [](const std::string& text) {
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
    keep_json("report", text.substr(0, text.find('\n')));
  });
}

TEST_P(KillOverReport, ComesOnceWhenItIsLongerThanAPipe) {
  const std::string argument(100'000, 'a');
  at_each_border({.args = {"run", "--report", "fd:3", "--report-args", "full", "--", "true", argument}}, stride(23),
                 [&](const std::string& text) {
                   EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
                   EXPECT_THAT(text, testing::HasSubstr('"' + argument + '"'));
                 });
}

TEST_P(KillOverReport, HeldOutputComesOnce) {
  std::string numbers;
  for (int number = 1; number <= 2000; ++number) numbers += std::to_string(number) + "\n";
  at_each_border({.args = {"run", "-q", "--", "sh", "-c", "seq 1 2000; printf err >&2; exit 3"}}, stride(7),
                 [&](const std::string& text) {
                   const auto end = std::min(text.find('\n'), text.size());
                   EXPECT_THAT(text.substr(0, end), testing::MatchesRegex("reapctl: sh .* failed after .*, exit 3"));
                   EXPECT_EQ(text.substr(end), "\n--- stdout, " + std::to_string(numbers.size()) + " bytes ---\n" +
                                                   numbers + "--- stderr, 3 bytes ---\nerr\n");
                 });
}

}  // namespace
}  // namespace reapctl::test
