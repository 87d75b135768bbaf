#include "support/forked.hpp"
#include "support/process.hpp"
#include "support/reapctl.hpp"
#include "support/world.hpp"

#include <csignal>
#include <cstdint>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

/// Fact 18 from outside: a pid that the kernel has handed out again, made so by ns_last_pid, proc(5), in a world where
/// nobody else takes it.
namespace reapctl::test {
namespace {

TEST(Fact18, ASweepDoesNotKillWhoGotThePidOfACommand) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to choose the next pid";
  in_a_world_apart(User::self, [](const World& world) {
    const std::string registry = world.directory + "/registry";
    Roster roster;
    Reapctl run({.args = {"run", "--report", "none", "--", misbehave_path(), "--ready", roster.path(), "ready=main"},
                 .env = {{"REAPCTL_REGISTRY", registry}},
                 .leaves_processes = true});
    const Process main = roster.next();
    const pid_t supervisor = supervisor_of(main);
    ASSERT_GT(supervisor, 1);
    run.send(SIGSTOP);
    send_signal(supervisor, SIGSTOP);
    send_signal(supervisor, SIGKILL);
    run.send(SIGKILL);
    (void)run.wait();
    (void)::waitpid(supervisor, nullptr, 0);
    send_signal(main.pid, SIGKILL);
    ASSERT_EQ(::waitpid(main.pid, nullptr, 0), main.pid);
    // In the same tick of the clock not even the start time would tell them apart.
    EXPECT_TRUE(await([&main] {
      timespec now{};
      ::clock_gettime(CLOCK_BOOTTIME, &now);
      const auto ticks =
          static_cast<std::uint64_t>(now.tv_sec) * 100 + static_cast<std::uint64_t>(now.tv_nsec) / 10'000'000;
      return ticks > main.start_ticks + 1;
    }));
    write_file("/proc/sys/kernel/ns_last_pid", std::to_string(main.pid - 1));
    const pid_t stranger = must_fork();
    if (stranger == 0) {
      for (;;) ::pause();
    }
    ASSERT_EQ(stranger, main.pid) << "the kernel has chosen another pid";
    const Outcome swept = reapctl::test::run(
        {.args = {"sweep", "--ladder", "KILL"}, .env = {{"REAPCTL_REGISTRY", registry}}, .leaves_processes = true});
    EXPECT_EQ(swept.code(), 0) << swept.out << swept.err;
    EXPECT_TRUE(std::filesystem::is_empty(registry));
    EXPECT_EQ(::waitpid(stranger, nullptr, WNOHANG), 0) << "the stranger was killed: " << swept.out;
  });
}

}  // namespace
}  // namespace reapctl::test
