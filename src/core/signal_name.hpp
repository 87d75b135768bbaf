#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace reapctl::core {

/// The name of a signal without its prefix: "INT", "RTMIN", "RTMIN+3". Real-time signals count up from RTMIN, to the
/// last one. A number that is no signal, and the two that glibc keeps for itself, come back as decimal text.
/// Source: sigabbrev_np(3), signal(7).
[[nodiscard]] std::string signal_name(int signal);

/// The signal that a user means: "INT", "SIGINT", "2", "RTMIN+3", "RTMAX-1", in upper or lower case, and the aliases
/// IOT, CLD and IO. nullopt for anything else: 0, numbers above SIGRTMAX, names outside the real-time range, and the
/// numbers between 31 and SIGRTMIN, which glibc keeps for its threads (signal(7)).
[[nodiscard]] std::optional<int> parse_signal(std::string_view text);

}  // namespace reapctl::core
