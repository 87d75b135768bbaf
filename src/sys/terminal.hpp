#pragma once

namespace reapctl::sys {

/// Whether this process has a controlling terminal. Source: tty(4), /dev/tty opens only then.
[[nodiscard]] bool has_controlling_terminal();

}  // namespace reapctl::sys
