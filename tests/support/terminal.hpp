#pragma once

#include "support/process.hpp"
#include "support/reapctl.hpp"

#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace reapctl::test {

/// A person at a terminal: a program with a pseudo-terminal as its controlling terminal, keys and screen.
class Terminal {
 public:
  /// Starts the program as leader of a session whose controlling terminal is the pty.
  explicit Terminal(Args argv, const std::map<std::string, std::string>& env = {});

  /// Hangs up and kills what is left; a failure of the test if something is.
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }

  /// Presses keys. "\x03" is ^C, "\x1a" ^Z, "\x04" ^D.
  void type(std::string_view keys) const;

  /// Reads on until the text is on the screen, behind what was expected before. Returns what came up to it. Fails the
  /// test, with the whole screen, when patience runs out or the terminal closes.
  std::string expect(std::string_view text, std::chrono::milliseconds patience = kPatience);

  /// The foreground process group, tcgetpgrp(3).
  [[nodiscard]] pid_t foreground() const;

  /// Changes the size: SIGWINCH for the foreground.
  void resize(unsigned short rows, unsigned short columns) const;

  /// Closes the terminal and waits for the program to end. Nothing else can be done with it afterwards.
  void hang_up();

  /// Waits for the program to end; returns its wait status. Fails the test when patience runs out.
  int wait_for_end();

  /// Everything that was ever on the screen.
  [[nodiscard]] const std::string& screen() const { return screen_; }

 private:
  /// False at the end of the terminal or of patience.
  bool read_more(std::chrono::steady_clock::time_point deadline);

  int master_ = -1;
  pid_t pid_ = -1;
  std::string screen_;
  std::size_t expected_ = 0;
};

/// An interactive shell without anybody's start-up files, with the prompt "READY> ".
class Shell : public Terminal {
 public:
  enum class Kind { bash, dash };
  explicit Shell(Kind kind);

  /// Types a line and Enter.
  void enter(std::string_view line) const;

  /// Waits for the prompt.
  void prompt();

  /// Exit status of the last command, as $? shows it.
  int status();
};

}  // namespace reapctl::test
