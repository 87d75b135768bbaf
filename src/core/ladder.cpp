#include "core/ladder.hpp"

#include "core/duration.hpp"
#include "core/signal_name.hpp"

#include <algorithm>
#include <array>
#include <csignal>

namespace reapctl::core {
namespace {

sys::Error bad_ladder(std::string reason) {
  return {.code = 0, .operation = std::move(reason), .subject = {}};
}

sys::Error unknown_signal(std::string_view name) {
  return bad_ladder("unknown signal \"" + std::string(name) +
                    "\", expected a name or number such as INT, SIGTERM or 15");
}

/// One "A/B:BOUND" that is not KILL.
sys::Result<Rung> parse_rung(std::string_view text) {
  Rung rung{.signal = 0, .if_ignored = std::nullopt, .bound = kDefaultRungBound};
  std::string_view signals = text;
  if (const auto colon = text.find(':'); colon != std::string_view::npos) {
    signals = text.substr(0, colon);
    const auto bound = parse_duration(text.substr(colon + 1));
    if (!bound) return bad_ladder("rung \"" + std::string(text) + "\": " + bound.error().operation);
    rung.bound = *bound;
  }
  const auto slash = signals.find('/');
  const auto first = parse_signal(signals.substr(0, slash));
  if (!first) return unknown_signal(signals.substr(0, slash));
  rung.signal = *first;
  if (slash != std::string_view::npos) {
    rung.if_ignored = parse_signal(signals.substr(slash + 1));
    if (!rung.if_ignored) return unknown_signal(signals.substr(slash + 1));
  }
  for (const int signal : {rung.signal, rung.if_ignored.value_or(rung.signal)}) {
    if (!can_stop(signal)) return bad_ladder(signal_name(signal) + " asks nobody to end and cannot be a rung");
  }
  if (rung.signal == SIGKILL || rung.if_ignored == SIGKILL) {
    return bad_ladder("KILL is the last rung, stands alone and takes no bound");
  }
  return rung;
}

LadderStep begin_rung(const Ladder& ladder, LadderState state, std::size_t rung, TimePoint now) {
  state.rung = rung;
  if (rung >= ladder.size() || now >= state.kill_by) {
    state.phase = LadderPhase::killing;
    state.killing_since = now;
    state.next_at = now;
    return {.state = state, .action = LadderAction::kill};
  }
  state.phase = LadderPhase::graceful;
  state.next_at = std::min(now + ladder[rung].bound, state.kill_by);
  return {.state = state, .action = LadderAction::tell};
}

LadderStep begin(const Ladder& ladder, LadderState state, TimePoint now, std::optional<Millis> limit) {
  state.requests = 1;
  state.requested_at = now;
  state.kill_by = limit ? now + *limit : TimePoint::max();
  return begin_rung(ladder, state, 0, now);
}

LadderStep climb(const Ladder& ladder, LadderState state, LadderEvent event, TimePoint now) {
  switch (event) {
    case LadderEvent::request:
      ++state.requests;
      return begin_rung(ladder, state, state.requests >= 3 ? ladder.size() : state.rung + 1, now);
    case LadderEvent::tick:
      if (now < state.next_at) return {.state = state};
      return begin_rung(ladder, state, now >= state.kill_by ? ladder.size() : state.rung + 1, now);
    case LadderEvent::emptied: state.phase = LadderPhase::over; return {.state = state};
    case LadderEvent::changed: return {.state = state};
  }
  return {.state = state};
}

LadderStep kill_on(LadderState state, LadderEvent event, TimePoint now) {
  switch (event) {
    case LadderEvent::request: ++state.requests; return {.state = state};
    case LadderEvent::tick:
      return {.state = state, .action = now >= state.next_at ? LadderAction::kill : LadderAction::none};
    case LadderEvent::emptied: state.phase = LadderPhase::over; return {.state = state};
    case LadderEvent::changed: state.next_at = now; return {.state = state};
  }
  return {.state = state};
}

}  // namespace

bool can_stop(int signal) {
  constexpr std::array kOthers = {SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU};
  return std::find(kOthers.begin(), kOthers.end(), signal) == kOthers.end();
}

sys::Result<Ladder> parse_ladder(std::string_view text) {
  if (text.empty()) return bad_ladder("expected rungs such as INT/TERM:5s,KILL");
  Ladder ladder;
  for (std::size_t begin_at = 0; begin_at <= text.size();) {
    const auto comma = std::min(text.find(',', begin_at), text.size());
    const auto part = text.substr(begin_at, comma - begin_at);
    begin_at = comma + 1;
    if (parse_signal(part) == SIGKILL) {
      if (comma != text.size()) return bad_ladder("KILL is the last rung, nothing may follow it");
      break;
    }
    auto rung = parse_rung(part);
    if (!rung) return rung.error();
    ladder.push_back(rung.take());
  }
  return ladder;
}

Ladder default_ladder() {
  return {{.signal = SIGINT, .if_ignored = SIGTERM, .bound = kDefaultRungBound}};
}

std::string ladder_text(const Ladder& ladder) {
  std::string text;
  for (const Rung& rung : ladder) {
    text.append(rung_name(rung)).append(":").append(std::to_string(rung.bound.count())).append("ms,");
  }
  return text + "KILL";
}

std::string rung_name(const Rung& rung) {
  std::string name = signal_name(rung.signal);
  if (rung.if_ignored) name += "/" + signal_name(*rung.if_ignored);
  return name;
}

LadderStep step(const Ladder& ladder, const LadderState& state, LadderEvent event, TimePoint now,
                std::optional<Millis> limit) {
  switch (state.phase) {
    case LadderPhase::idle:
      return event == LadderEvent::request ? begin(ladder, state, now, limit) : LadderStep{.state = state};
    case LadderPhase::graceful: return climb(ladder, state, event, now);
    case LadderPhase::killing: return kill_on(state, event, now);
    case LadderPhase::over: return {.state = state};
  }
  return {.state = state};
}

LadderState after_census(const LadderState& state, const Census& census, TimePoint now) {
  LadderState next = state;
  if (state.phase != LadderPhase::killing) return next;
  const TimePoint newest = census.newest_kill.value_or(state.killing_since);
  const bool stuck = census.living > 0 && now - newest >= kSurvivorBound;
  if (stuck || now - state.killing_since >= kKillingBound) {
    next.phase = LadderPhase::over;
  } else {
    // Somebody was new in this pass: it may have forked in the meantime, so look again at once.
    next.next_at = newest == now ? now : now + kKillInterval;
  }
  return next;
}

}  // namespace reapctl::core
