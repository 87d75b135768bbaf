#include "engine/victim_ladder.hpp"

#include "core/signal_name.hpp"
#include "engine/registry.hpp"
#include "engine/tree.hpp"
#include "sys/pid_fd.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <poll.h>
#include <utility>

namespace reapctl::engine {
namespace {

/// How long a victim whose end cannot be waited for is left before it is looked at again.
constexpr core::Millis kPollInterval{20};

/// How long victims get that no signal of ours reaches, once no others are left: they may end with the others, as sudo
/// does with its child. The rungs mean nothing to them, and the user who put them on record must not hold us up.
constexpr core::Millis kOutOfReachBound{200};

}  // namespace

void VictimLadder::run() {
  const auto begin = core::Clock::now();
  const auto step = [&](core::LadderEvent event) {
    const core::LadderStep next = core::step(ladder_, state_, event, core::Clock::now(), limit_);
    const bool new_rung = next.state.phase != state_.phase || next.state.rung != state_.rung;
    state_ = next.state;
    if (new_rung) {
      for (auto& [id, held] : held_) held.told = false;
    }
    perform(next.action);
  };
  look();
  if (living() == 0 && !fleeting_) return;
  step(core::LadderEvent::request);
  while (state_.phase != core::LadderPhase::over) {
    notice_ends();
    if (living() == 0) {
      // A child that was forked before its parent died shows up now, if it can be found at all.
      look();
      if (living() == 0 && !fleeting_) {
        step(core::LadderEvent::emptied);
        break;
      }
      if (living() > 0) {
        perform(state_.phase == core::LadderPhase::graceful ? core::LadderAction::tell : core::LadderAction::kill);
        step(core::LadderEvent::tick);  // each look at a chain may find somebody new, and the time runs all the same
        continue;
      }
    }
    if (is_hopeless()) break;
    wait(std::min(state_.next_at, hopeless_at_));
    step(core::LadderEvent::tick);
    if (core::Clock::now() - begin > limit_ + core::kKillingBound + core::kSurvivorBound) break;
  }
  notice_ends();
}

/// Whether some are left, and none of them can be signalled.
bool VictimLadder::all_out_of_reach() const {
  return living() > 0 && std::all_of(held_.begin(), held_.end(), [](const auto& entry) {
           return entry.second.end.after || !entry.second.end.refused.empty();
         });
}

/// Whether they have had their time. Before they are given up they are told once more: one may have become another user
/// since, and there may be new children of theirs.
bool VictimLadder::is_hopeless() {
  if (!all_out_of_reach()) {
    hopeless_at_ = core::TimePoint::max();
    return false;
  }
  const auto now = core::Clock::now();
  if (hopeless_at_ == core::TimePoint::max()) hopeless_at_ = now + kOutOfReachBound;
  if (now < hopeless_at_) return false;
  hopeless_at_ = core::TimePoint::max();
  look();
  for (auto& [id, held] : held_) {
    if (held.end.after) continue;
    held.told = false;
    held.killed_at.reset();
    held.end.refused.clear();
  }
  perform(state_.phase == core::LadderPhase::graceful ? core::LadderAction::tell : core::LadderAction::kill);
  return all_out_of_reach();
}

void VictimLadder::look() {
  const auto before = core::Clock::now();
  Sight sight = scan_();
  const bool somebody = !sight.victims.empty() || sight.more;
  for (core::ProcessStat& process : sight.victims) adopt(std::move(process));
  fleeting_ = somebody && living() == 0;
  spared_ = std::move(sight.others);
  last_look_ = core::Clock::now();
  look_cost_ = last_look_ - before;
}

void VictimLadder::adopt(core::ProcessStat process) {
  const core::ProcessId id = process.id;
  if (held_.contains(id)) return;
  Held held{.process = std::move(process), .pid_fd = {}, .end = {}, .killed_at = {}};
  // First the pidfd, then the look: if the pid still means this process now, the descriptor does for ever.
  if (auto pid_fd = sys::open_pid_fd(id.pid)) held.pid_fd = pid_fd.take();
  if (!is_running(proc_, id)) return;
  held_.emplace(id, std::move(held));
}

void VictimLadder::notice_ends() {
  for (auto& [id, held] : held_) {
    if (held.end.after) continue;
    pollfd ready{.fd = held.pid_fd.get(), .events = POLLIN, .revents = 0};
    const bool gone = held.pid_fd.valid() ? ::poll(&ready, 1, 0) == 1 : !is_running(proc_, id);
    if (!gone) continue;
    held.end.after = core::to_millis(core::Clock::now() - state_.requested_at);
    held.pid_fd.reset();
  }
}

std::size_t VictimLadder::living() const {
  return static_cast<std::size_t>(
      std::count_if(held_.begin(), held_.end(), [](const auto& entry) { return !entry.second.end.after; }));
}

void VictimLadder::perform(core::LadderAction action) {
  switch (action) {
    case core::LadderAction::none: break;
    case core::LadderAction::tell: tell(); break;
    case core::LadderAction::kill: kill(); break;
  }
}

void VictimLadder::send(Held& held, int signal) {
  const auto sent = held.pid_fd.valid() ? sys::send_signal(held.pid_fd.get(), signal)
                                        : signal_process(proc_, held.process.id, signal);
  if (!sent && sent.error().code != ESRCH) held.end.refused = sys::errno_name(sent.error().code);
}

int VictimLadder::signal_for(const Held& held, const core::Rung& rung) const {
  if (!rung.if_ignored) return rung.signal;
  const auto masks = proc_.signal_masks(held.process.id.pid);
  return masks && masks->ignores(rung.signal) ? *rung.if_ignored : rung.signal;
}

void VictimLadder::tell() {
  const core::Rung& rung = ladder_[state_.rung];
  if (core::Clock::now() - last_look_ > kPollInterval) look();  // else it is as it was a moment ago
  for (auto& [id, held] : held_) {
    if (held.end.after || std::exchange(held.told, true)) continue;
    const int signal = signal_for(held, rung);
    held.end.died_of = core::signal_name(signal);
    held.end.rung = core::rung_name(rung);
    send(held, signal);
    // A stopped process would hear it only when continued.
    if (const auto now = proc_.stat(id.pid); now && now->id == id && now->state == 'T') send(held, SIGCONT);
  }
}

/// Stops all victims first, so that none forks any more, and then looks for children of theirs that the last look has
/// not seen: a child whose environment was cleared can be found only as long as its parent is there.
void VictimLadder::freeze_new() {
  std::vector<core::ProcessId> fresh;
  for (auto& [id, held] : held_) {
    if (held.end.after || held.killed_at) continue;
    send(held, SIGSTOP);
    fresh.push_back(id);
  }
  // Twice over each: a fork that was under way when the signal was sent may end after the first look.
  for (std::size_t next = 0, round = 0; round < 2; ++round, next = 0) {
    for (; next < fresh.size(); ++next) {
      const auto children = proc_.children(fresh[next].pid);
      if (!children) continue;
      for (const pid_t pid : *children) {
        auto child = proc_.stat(pid);
        if (!child || child->ppid != fresh[next].pid || held_.contains(child->id)) continue;
        if (spared_.contains(child->id)) continue;  // of an active run inside of this one
        const core::ProcessId id = child->id;
        if (!is_running(proc_, fresh[next])) continue;  // it may be a stranger's by now
        adopt(child.take());
        if (const auto found = held_.find(id); found != held_.end()) {
          send(found->second, SIGSTOP);
          fresh.push_back(id);
        }
      }
    }
  }
}

void VictimLadder::kill() {
  const auto now = core::Clock::now();
  // Looking at all processes is what costs; between two looks the known victims get time to die.
  if (held_.empty() || living() == 0 ||
      now - last_look_ >= std::max<core::Clock::duration>(10 * look_cost_, kPollInterval))
    look();
  kill_groups_();
  freeze_new();
  core::Census census;
  for (auto& [id, held] : held_) {
    if (held.end.after) continue;
    if (!held.killed_at) {
      held.killed_at = now;
      held.end.died_of = "KILL";
      held.end.rung = "KILL";
      send(held, SIGKILL);
    }
    ++census.living;
    if (!census.newest_kill || *held.killed_at > *census.newest_kill) census.newest_kill = held.killed_at;
  }
  state_ = core::after_census(state_, census, now);
  // Dying takes a moment; the pidfds tell when it is over.
  if (state_.phase == core::LadderPhase::killing) state_.next_at = now + kPollInterval;
}

void VictimLadder::wait(core::TimePoint until) {
  std::vector<pollfd> ends;
  bool unwatched = false;
  for (const auto& [id, held] : held_) {
    if (held.end.after) continue;
    if (held.pid_fd.valid()) {
      ends.push_back({.fd = held.pid_fd.get(), .events = POLLIN, .revents = 0});
    } else {
      unwatched = true;
    }
  }
  const auto now = core::Clock::now();
  auto left = std::chrono::ceil<core::Millis>(until - now);
  if (unwatched || fleeting_) left = std::min(left, kPollInterval);
  left = std::clamp(left, core::Millis::zero(), core::Millis(60000));
  (void)::poll(ends.data(), ends.size(), static_cast<int>(left.count()));  // a signal only ends the wait early
}

std::map<core::ProcessId, VictimEnd> VictimLadder::ends() const {
  std::map<core::ProcessId, VictimEnd> all;
  for (const auto& [id, held] : held_) all.emplace(id, held.end).first->second.process = held.process;
  return all;
}

}  // namespace reapctl::engine
