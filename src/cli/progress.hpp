#pragma once

#include "sys/terminal.hpp"

#include <string_view>
#include <sys/types.h>

namespace reapctl::cli {

/// What a long deletion shows on a terminal while the job is in its foreground.
class ProgressLine {
 public:
  /// To be made in the process that the shell knows. It can be used in a child that has left the session, too: the
  /// terminal would not tell that one whose turn it is, but /proc does.
  ProgressLine();

  void show(std::string_view text);

 private:
  pid_t front_;
  sys::StatusLine line_;
};

}  // namespace reapctl::cli
