#include "support/process.hpp"
#include "support/reapctl.hpp"
#include "support/terminal.hpp"
#include "support/tool.hpp"

#include <algorithm>
#include <csignal>
#include <set>
#include <string>
#include <sys/wait.h>
#include <vector>

#include <gtest/gtest.h>

/// Facts 26 and 27 as a comparison: the same steps on a real pseudo-terminal, with and without reapctl, in bash and in
/// dash, lead to the same: what the command hears, what the shell says of the job, what the exit status is.
namespace reapctl::test {
namespace {

constexpr const char* kControlC = "\x03";
constexpr const char* kControlZ = "\x1a";

using Transcript = std::vector<std::string>;

/// A person who takes notes.
class Session {
 public:
  Session(Shell::Kind kind, bool wrapped) : kind_(kind), wrapped_(wrapped), shell_(kind) {}

  /// The command line, behind reapctl or not.
  [[nodiscard]] std::string command(const std::string& text) const {
    return (wrapped_ ? reapctl_path() + " run --report none -- " : "") + text;
  }
  [[nodiscard]] std::string misbehave(const std::string& steps) const {
    return command(misbehave_path() + " --ready " + roster_.path() + " " + steps);
  }
  [[nodiscard]] std::string interpreter() const { return kind_ == Shell::Kind::bash ? "bash" : "dash"; }
  /// Starts a script of that shell and returns when the command in it is there.
  std::string script(const std::string& text) {
    write_script(directory_ / "script", "#!/usr/bin/env " + interpreter() + "\n" + text);
    return directory_ / "script";
  }

  void hear() { notes_.push_back("command: " + roster_.next().role); }
  void see(const std::string& text) {
    (void)shell_.expect(text);
    notes_.push_back("screen: " + text);
  }
  void note_status() { notes_.push_back("status " + std::to_string(shell_.status())); }
  void note_state(const std::string& what, pid_t pid) {
    const auto stat = read_stat(pid);
    notes_.push_back(what + " " + (stat ? std::string(1, stat->state) : "gone"));
  }
  void note_foreground(const std::string& what, pid_t pid) {
    notes_.push_back(what + (read_stat(pid).value_or(ProcStat{}).pgid == shell_.foreground() ? " is" : " is not") +
                     " in the foreground");
  }
  void note_silence() {
    for (const Process& said : roster_.take_all()) notes_.push_back("command, unasked: " + said.role);
  }

  Shell& shell() { return shell_; }
  Roster& roster() { return roster_; }
  [[nodiscard]] const Transcript& notes() const { return notes_; }

 private:
  Shell::Kind kind_;
  bool wrapped_;
  TempDir directory_;
  Roster roster_;
  Shell shell_;
  Transcript notes_;
};

void control_c_once(Session& session) {
  session.shell().enter(session.misbehave("on=INT:say=int on=USR1:exit=7 ready=main"));
  const Process main = session.roster().next();
  session.note_foreground("main", main.pid);
  session.shell().type(kControlC);
  session.hear();
  send_signal(main.pid, SIGUSR1);
  session.shell().prompt();
  session.note_status();
  session.note_silence();
}

void control_c_kills(Session& session) {
  session.shell().enter(session.misbehave("ready=main"));
  (void)session.roster().next();
  session.shell().type(kControlC);
  session.shell().prompt();
  session.note_status();
}

void control_z_and_fg(Session& session) {
  session.shell().enter(session.misbehave("on=CONT:say=continued on=USR1:exit=7 ready=main"));
  const Process main = session.roster().next();
  session.shell().type(kControlZ);
  session.see("Stopped");
  session.shell().prompt();
  session.note_state("main", main.pid);
  session.note_foreground("main", main.pid);
  session.shell().enter("fg");
  session.hear();
  session.note_foreground("main", main.pid);
  send_signal(main.pid, SIGUSR1);
  session.shell().prompt();
  session.note_status();
}

void control_z_and_bg(Session& session) {
  session.shell().enter(session.misbehave("on=CONT:say=continued on=USR1:exit=7 ready=main"));
  const Process main = session.roster().next();
  session.shell().type(kControlZ);
  session.see("Stopped");
  session.shell().prompt();
  session.note_state("main", main.pid);
  session.shell().enter("bg");
  session.hear();
  session.shell().prompt();
  session.note_foreground("main", main.pid);
  send_signal(main.pid, SIGUSR1);
  session.shell().enter("wait %1; echo waited=$?,");
  session.see("\nwaited=7,");
  session.shell().prompt();
}

/// As long as the end of a pipeline has not become `cat` it ignores what an interactive shell ignores.
void await_cat() {
  EXPECT_TRUE(await([] {
    for (const pid_t shell : children_of(::getpid())) {
      for (const pid_t child : children_of(shell)) {
        if (const auto stat = read_stat(child); stat && stat->comm == "cat") return true;
      }
    }
    return false;
  }));
}

void pipeline_and_control_c(Session& session) {
  session.shell().enter(session.misbehave("ready=main") + " | cat");
  const Process main = session.roster().next();
  await_cat();
  session.note_foreground("main", main.pid);
  session.shell().type(kControlC);
  session.shell().prompt();
  session.note_status();
  session.shell().enter("seq 50000 | " + session.command("cat") + " | tail -n 1");
  session.see("\n50000\r\n");
  session.shell().prompt();
  session.note_status();
}

void pipeline_and_control_z(Session& session) {
  session.shell().enter(session.misbehave("on=CONT:say=continued on=USR1:exit=7 ready=main") + " | cat");
  const Process main = session.roster().next();
  await_cat();
  session.shell().type(kControlZ);
  session.see("Stopped");
  session.shell().prompt();
  session.shell().enter("fg");
  session.hear();
  send_signal(main.pid, SIGUSR1);
  session.shell().prompt();
  session.note_status();
}

void script_ends_with_control_c(Session& session) {
  session.shell().enter(session.script(session.misbehave("ready=main") + "\necho it ran on\n"));
  (void)session.roster().next();
  session.shell().type(kControlC);
  session.shell().prompt();
  session.note_status();
}

void script_goes_on_when_the_command_handles_control_c(Session& session) {
  session.shell().enter(
      session.script(session.misbehave("on=INT:say=int on=INT:exit=3 ready=main") + "\necho status $? of it\n"));
  (void)session.roster().next();
  session.shell().type(kControlC);
  session.hear();
  session.shell().prompt();
  session.note_status();
}

void next_read_of_a_script(Session& session) {
  session.shell().enter(session.script(session.command("true") + "\nread line\necho got $line\n"));
  session.shell().enter("something");
  session.see("got something");
  session.shell().prompt();
  session.note_status();
}

void background_job_that_reads(Session& session) {
  session.shell().enter(session.command("cat") + " &");
  session.shell().prompt();
  const std::vector<pid_t> jobs = children_of(session.shell().pid());
  ASSERT_EQ(jobs.size(), 1U);
  EXPECT_TRUE(await([&] { return read_stat(jobs[0]).value_or(ProcStat{}).state == 'T'; }));
  session.shell().enter("fg");
  session.see("cat\r\n");
  session.shell().enter("typed");
  session.see("typed\r\ntyped");
  session.shell().type("\x04");
  session.shell().prompt();
  session.note_status();
}

void background_job_of_a_script(Session& session) {
  session.shell().enter(session.script(session.misbehave("on=TERM:exit=4 ready=main") +
                                       " &\nread line\necho got $line\nkill $!\nwait $!\necho over $?\n"));
  (void)session.roster().next();
  session.shell().enter("something");
  session.see("got something");
  session.see("over 4");
  session.shell().prompt();
}

void tostop(Session& session) {
  session.shell().enter("stty tostop");
  session.shell().prompt();
  session.shell().enter(session.command("echo from behind") + " &");
  session.shell().prompt();
  const std::vector<pid_t> jobs = children_of(session.shell().pid());
  ASSERT_EQ(jobs.size(), 1U);
  EXPECT_TRUE(await([&] { return read_stat(jobs[0]).value_or(ProcStat{}).state == 'T'; }));
  session.shell().enter("fg");
  session.see("\nfrom behind");
  session.shell().prompt();
  session.note_status();
}

void window_size_once(Session& session) {
  session.shell().enter(session.misbehave("on=WINCH:say=resized on=USR1:exit=7 ready=main"));
  const Process main = session.roster().next();
  session.shell().resize(50, 100);
  session.hear();
  session.shell().resize(60, 100);
  session.hear();
  send_signal(main.pid, SIGUSR1);
  session.shell().prompt();
  session.note_status();
  session.note_silence();
}

struct Scenario {
  const char* name;
  void (*play)(Session& session);
};

class SameAsWithout : public testing::TestWithParam<std::tuple<Shell::Kind, Scenario>> {};

TEST_P(SameAsWithout, OnATerminal) {
  const auto& [kind, scenario] = GetParam();
  const std::string program = kind == Shell::Kind::bash ? "bash" : "dash";
  if (quiet_status({program, "-c", "exit 0"}) != 0) GTEST_SKIP() << program << " is not installed";
  Transcript transcripts[2];
  for (const bool wrapped : {false, true}) {
    SCOPED_TRACE(wrapped ? "with reapctl" : "without");
    Session session(kind, wrapped);
    scenario.play(session);
    transcripts[wrapped ? 1 : 0] = session.notes();
  }
  EXPECT_FALSE(transcripts[0].empty());
  EXPECT_EQ(transcripts[1], transcripts[0]);
}

INSTANTIATE_TEST_SUITE_P(
    Terminal, SameAsWithout,
    testing::Combine(
        testing::Values(Shell::Kind::bash, Shell::Kind::dash),
        testing::Values(Scenario{"ControlCOnce", control_c_once}, Scenario{"ControlCKills", control_c_kills},
                        Scenario{"ControlZAndFg", control_z_and_fg}, Scenario{"ControlZAndBg", control_z_and_bg},
                        Scenario{"PipelineAndControlC", pipeline_and_control_c},
                        Scenario{"PipelineAndControlZ", pipeline_and_control_z},
                        Scenario{"ScriptEndsWithControlC", script_ends_with_control_c},
                        Scenario{"ScriptGoesOnWhenHandled", script_goes_on_when_the_command_handles_control_c},
                        Scenario{"NextReadOfAScript", next_read_of_a_script},
                        Scenario{"BackgroundJobThatReads", background_job_that_reads},
                        Scenario{"BackgroundJobOfAScript", background_job_of_a_script}, Scenario{"Tostop", tostop},
                        Scenario{"WindowSizeOnce", window_size_once})),
    [](const testing::TestParamInfo<std::tuple<Shell::Kind, Scenario>>& row) {
      return std::string(std::get<1>(row.param).name) +
             (std::get<0>(row.param) == Shell::Kind::bash ? "_bash" : "_dash");
    });

/// Without a shell that controls jobs, as `ssh -t host command` and `docker run -it` start it.
class WithoutJobControl : public testing::TestWithParam<const char*> {
 protected:
  static Args argv(const Roster& roster, bool wrapped, const std::string& steps) {
    const std::string command =
        (wrapped ? reapctl_path() + " run --report none -- " : "") + misbehave_path() + " --ready " + roster.path();
    const std::string shell = GetParam();
    if (shell == "none") return {"sh", "-c", "exec " + command + " " + steps};
    return {shell, "-c", command + " " + steps + "; exit $?"};
  }
};

TEST_P(WithoutJobControl, TheHangUpIsHeardAsWithout) {
  std::set<std::string> heard[2];
  for (const bool wrapped : {false, true}) {
    Roster roster;
    pid_t main = 0;
    {
      Terminal terminal(argv(roster, wrapped, "on=HUP:say=hup on=HUP:exit=0 fork [ ready=child ] ready=main"));
      main = roster.await_roles({"main", "child"}).at("main").pid;
    }  // hangs up, and looks for what is left
    for (const Process& said : roster.take_all()) {
      if (said.pid == main) heard[wrapped ? 1 : 0].insert(said.role);
    }
  }
  // As a set: the kernel may send a leader two, one as the leader and one as a member of the foreground group.
  EXPECT_EQ(heard[1], heard[0]);
}

TEST_P(WithoutJobControl, ControlZInAnOrphanedGroupStopsNobodyForEver) {
  int statuses[2] = {};
  for (const bool wrapped : {false, true}) {
    Roster roster;
    Terminal terminal(argv(roster, wrapped, "on=INT:say=int on=USR1:exit=7 ready=main"));
    const Process main = roster.next();
    // It leaves the session a moment behind the start; a ^Z within that moment still stops everybody.
    const pid_t above = supervisor_of(main);
    EXPECT_TRUE(!wrapped || await([above] { return read_stat(above).value_or(ProcStat{}).sid == above; }));
    terminal.type(kControlZ);
    // The terminal has done with ^Z before it comes to ^C.
    terminal.type(kControlC);
    EXPECT_EQ(roster.next().role, "int") << (wrapped ? "with reapctl" : "without");
    if (HasFailure()) return;
    send_signal(main.pid, SIGUSR1);
    statuses[wrapped ? 1 : 0] = terminal.wait_for_end();
  }
  EXPECT_EQ(statuses[1], statuses[0]);
}

INSTANTIATE_TEST_SUITE_P(Terminal, WithoutJobControl, testing::Values("none", "bash", "dash"));

}  // namespace
}  // namespace reapctl::test
