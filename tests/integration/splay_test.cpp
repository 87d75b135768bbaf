#include "support/process.hpp"
#include "support/reapctl.hpp"
#include "support/terminal.hpp"

#include <csignal>
#include <filesystem>
#include <string>
#include <sys/wait.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

/// --splay: what comes before everything else.
namespace reapctl::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

TEST(Splay, AStopDuringItExitsAtOnceAndNothingWasMadeYet) {
  TempDir directory;
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) {
    Launch launch =
        run_of({"--splay", "3650d", "--lock", "x", "-t", "1ms", "--workdir-base", directory / "."}, {"echo", "ran"});
    launch.env["REAPCTL_REGISTRY"] = directory / "registry";
    Reapctl reapctl(std::move(launch));
    EXPECT_TRUE(await([&] { return listens(reapctl.pid()); }));
    EXPECT_TRUE(fs::is_empty(directory.path())) << "neither a lock, a record nor a directory";
    reapctl.send(signal);
    const Outcome outcome = reapctl.wait();
    EXPECT_EQ(outcome.code(), 128 + signal);
    EXPECT_EQ(outcome.out, "");
    EXPECT_EQ(outcome.report["result"], "stopped") << "no timeout, which counts from the start of the command";
    EXPECT_TRUE(outcome.report["exit"].is_null());
  }
}

TEST(Splay, IsOverWhenItIsDue) {
  EXPECT_EQ(run(run_of({"--splay", "200ms", "--name", "any"}, {"echo", "ran"})).out, "ran\n");
  const auto waited = [](const Outcome& each) {
    return each.report["duration_ms"].get<int>() - each.report["main"]["duration_ms"].get<int>();
  };
  int all = 0;
  for (int name = 0; name < 10; ++name) {
    all += waited(run(run_of({"--splay", "100ms", "--name", std::to_string(name)}, {"true"})));
  }
  EXPECT_GT(all, 50) << "ten parts of 100 ms each that together are next to nothing";
}

TEST(Splay, TheDeathOfTheParentEndsItToo) {
  Launch launch = run_of({"--splay", "3650d", "--die-with", "parent"}, {"echo", "ran"});
  launch.wrapper = {"sh", "-c", "\"$@\"; :", "sh"};
  Reapctl shell(std::move(launch));
  pid_t reapctl = 0;
  EXPECT_TRUE(await([&] {
    const auto children = children_of(shell.pid());
    reapctl = children.empty() ? 0 : children.front();
    return reapctl != 0 && listens(reapctl);
  }));
  shell.send(SIGKILL);
  EXPECT_TRUE(await_end(reapctl));
  ::waitpid(reapctl, nullptr, 0);
  const Outcome outcome = shell.wait();
  EXPECT_EQ(outcome.report["stop"]["cause"], "die-with");
  EXPECT_EQ(outcome.report["exit_code"], 125);
}

TEST(Splay, OnATerminalControlCEndsItLikeAnyCommand) {
  Shell shell(Shell::Kind::bash);
  shell.type(reapctl_path() + " run --report none --splay 3650d -- echo ran; echo never\n");
  EXPECT_TRUE(await([&] { return shell.foreground() != shell.pid(); }));
  const pid_t group = shell.foreground();
  EXPECT_TRUE(await([&] { return listens(group); }));
  shell.type("\x03");
  shell.expect("READY> ");
  shell.type("echo status=$?\n");
  shell.expect("status=130");
  EXPECT_THAT(shell.screen(), Not(HasSubstr("\nnever")));
}

}  // namespace
}  // namespace reapctl::test
