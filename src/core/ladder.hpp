#pragma once

#include "core/time.hpp"
#include "sys/result.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// The ladder: graceful signals with bounds, then SIGKILL until nothing is left. Pure; who is signalled and how is
/// engine/tree's business.
namespace reapctl::core {

/// One graceful rung: `signal` to everybody, `if_ignored` instead to a process that ignores `signal`.
struct Rung {
  int signal = 0;
  std::optional<int> if_ignored;
  Millis bound{};  ///< at most this long until the next rung; 0 means at once
  bool operator==(const Rung&) const = default;
};

/// The rungs before SIGKILL, which is always the last one and not in the list.
using Ladder = std::vector<Rung>;

/// What a rung without a bound gets.
inline constexpr Millis kDefaultRungBound{5000};

/// INT/TERM:5s,KILL: what a run, and a sweep, does when it is told nothing else.
[[nodiscard]] Ladder default_ladder();

/// A process still alive this long after its SIGKILL is a survivor (fact: state D, or not ours to signal).
inline constexpr Millis kSurvivorBound{1000};
/// Killing ends this long after it began even if it makes progress: something forks faster than it can be killed.
inline constexpr Millis kKillingBound{10000};
/// Between two looks for what is still to be killed, when the last look found nothing new.
inline constexpr Millis kKillInterval{20};

/// Whether a signal can ask a process to end: not those of job control and of children, which mean something else
/// to whoever handles them. WINCH can, for one: it ends Apache's server gracefully.
[[nodiscard]] bool can_stop(int signal);

/// Reads "INT/TERM:5s,KILL". KILL may be left out, takes no bound and must be last.
[[nodiscard]] sys::Result<Ladder> parse_ladder(std::string_view text);

/// The ladder as parse_ladder reads it: "INT/TERM:5000ms,KILL".
[[nodiscard]] std::string ladder_text(const Ladder& ladder);

/// "INT/TERM"
[[nodiscard]] std::string rung_name(const Rung& rung);

enum class LadderPhase { idle, graceful, killing, over };

struct LadderState {
  LadderPhase phase = LadderPhase::idle;
  std::size_t rung = 0;  ///< in phase graceful: which one
  int requests = 0;      ///< the first starts, the second goes on to the next rung, the third kills
  TimePoint requested_at;
  TimePoint next_at;  ///< when time alone will do something
  TimePoint kill_by;  ///< killing begins no later than this; TimePoint::max() when there is no limit
  TimePoint killing_since;
  bool operator==(const LadderState&) const = default;
};

enum class LadderEvent {
  request,  ///< somebody wants everything stopped
  tick,     ///< time has passed
  emptied,  ///< nothing is left
  changed,  ///< a process ended; its children may have come to us
};

enum class LadderAction {
  none,
  tell,  ///< signal the tree with the rung in the new state
  kill,  ///< SIGKILL to everything there is now
};

struct LadderStep {
  LadderState state;
  LadderAction action = LadderAction::none;
};

/// The next state and what to do. Total: every phase answers every event. `limit` is `--stop-timeout`'s share for
/// the graceful rungs, counted from the first request; nullopt when there is none.
[[nodiscard]] LadderStep step(const Ladder& ladder, const LadderState& state, LadderEvent event, TimePoint now,
                              std::optional<Millis> limit);

/// What a pass of killing found.
struct Census {
  int living = 0;                        ///< still alive after the pass
  std::optional<TimePoint> newest_kill;  ///< when the youngest of the living got its first SIGKILL
};

/// After a pass of killing: look again at once, look again later, or (phase over) give up on the rest.
[[nodiscard]] LadderState after_census(const LadderState& state, const Census& census, TimePoint now);

}  // namespace reapctl::core
