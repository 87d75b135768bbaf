#pragma once

#include <csignal>
#include <string>
#include <string_view>

/// What every step of misbehave needs: the safety net, the lines a test waits for, signals by name.
namespace misbehave {

inline constexpr int kLifetimeSeconds = 60;

/// The FIFO of --ready; null without.
extern const char* ready_path;

/// Says what failed and why (errno), and ends the process with 99.
[[noreturn]] void fail(const char* what, std::string_view subject = {});

[[nodiscard]] inline bool starts_with(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

/// The safety net: whatever a failed test leaves ends by itself. SIGKILL from a timer also ends what is stopped, blocks
/// or ignores everything. Timers pass neither fork nor exec (timer_create(2)), so every new process calls this again.
void arm_lifetime();

/// Writes the line "PID START_TICKS ROLE". Async-signal-safe, keeps errno.
void announce(std::string_view role);

/// "INT", "RTMIN+3". Ends the process on nonsense.
[[nodiscard]] int signal_number(std::string_view name);

/// Calls `function` with each part of "A,B,C".
template <class Function>
void for_each_item(std::string_view list, Function function) {
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    function(list.substr(0, comma));
    list.remove_prefix(comma == std::string_view::npos ? list.size() : comma + 1);
  }
}

/// "INT,TERM" or "all".
[[nodiscard]] sigset_t signal_set(std::string_view list);

/// SIG_IGN or SIG_DFL for a list of signals.
void set_dispositions(std::string_view list, void (*disposition)(int));

/// SIG:exit=N, SIG:say=ROLE, SIG:fork=ROLE. Several for one signal are done in the order say, fork, exit.
void set_reaction(std::string_view spec);

}  // namespace misbehave
