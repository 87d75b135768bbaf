#include "cli/progress.hpp"

#include "proc/proc_fs.hpp"

#include <unistd.h>

namespace reapctl::cli {

ProgressLine::ProgressLine() : front_(::getpid()) {}

void ProgressLine::show(std::string_view text) {
  const auto front = proc::ProcFs().stat(front_);
  if (front && front->tpgid >= 0 && front->tpgid != front->pgid) return;
  line_.show(text);
}

}  // namespace reapctl::cli
