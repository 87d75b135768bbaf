#include "support/environment.hpp"
#include "support/process.hpp"
#include "support/reapctl.hpp"
#include "support/terminal.hpp"
#include "support/tool.hpp"

#include <csignal>
#include <filesystem>
#include <string>

#include <gtest/gtest.h>

/// Keys that are pressed while the command is starting.
namespace reapctl::test {
namespace {

namespace fs = std::filesystem;

class TerminalAtStart : public testing::TestWithParam<Shell::Kind> {
 protected:
  void SetUp() override {
    const std::string program = GetParam() == Shell::Kind::bash ? "bash" : "dash";
    if (quiet_status({program, "-c", "exit 0"}) != 0) GTEST_SKIP() << program << " is not installed";
  }
};

INSTANTIATE_TEST_SUITE_P(Terminal, TerminalAtStart, testing::Values(Shell::Kind::bash, Shell::Kind::dash),
                         [](const auto& test) { return test.param == Shell::Kind::bash ? "bash" : "dash"; });

TEST_P(TerminalAtStart, ControlZBeforeTheExecStopsTheJobAllTheSame) {
  // The way to the exec is made long by 20,000 places in the PATH where the command is a script without interpreter.
  // Wherever on it ^Z comes, reapctl must not be stopped with its child, of which it has no word before the exec.
  Roster roster;
  Shell shell(GetParam());
  TempDir directory;
  fs::create_directory(directory / "d");
  write_script(directory / "d/misbehave", "#!/nonexistent\n");
  write_script(directory / "far", "#!/bin/sh\ncd " + directory.path().string() +
                                      " || exit 99\nPATH=$(yes d: | head -n 20000 | tr -d '\\n')" +
                                      fs::path(misbehave_path()).parent_path().string() + " exec " + reapctl_path() +
                                      " run --report none -- misbehave --ready " + roster.path() +
                                      " on=USR1:exit=7 ready=main\n");
  shell.enter(directory / "far");
  const auto stat_of = [](pid_t pid) { return read_stat(pid).value_or(ProcStat{}); };
  EXPECT_TRUE(await([&] {
    const pid_t front = shell.foreground();
    if (stat_of(front).comm != "reapctl") return false;
    const auto supervisor = children_of(front);
    const auto command = supervisor.empty() ? supervisor : children_of(supervisor.front());
    return !command.empty() && stat_of(command.front()).pgid == front;
  }));
  shell.type("\x1a");
  (void)shell.expect("Stopped");
  shell.prompt();
  shell.enter("fg");
  send_signal(roster.next().pid, SIGUSR1);
  shell.prompt();
  EXPECT_EQ(shell.status(), 7);
}

}  // namespace
}  // namespace reapctl::test
