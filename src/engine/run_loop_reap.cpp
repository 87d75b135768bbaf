#include "core/exit_status.hpp"
#include "engine/run_loop.hpp"

#include <algorithm>
#include <string>

/// What a run does about the end of processes.
namespace reapctl::engine {
namespace {

/// So many children are reaped in one go, or as many as this time allows, and then signals and deadlines get their turn
/// again: zombies may come as fast as they are reaped (fact 20), and what takes a millisecond of the processor takes a
/// tenth of a second where we have a hundredth of it.
constexpr std::size_t kReapBatch = 128;
constexpr core::Millis kReapTime{20};

}  // namespace

void RunLoop::reap() {
  follow_stopped_main();
  if (tree_.in_mid_kill()) {
    unreaped_ = true;
    return;
  }
  reap_ended();
  if (state_.main_alive) return;
  if (backlog_) {
    if (!unreaped_ || *backlog_ == 0) count_leftovers();
    return;
  }
  feed({.kind = tree_empty() ? core::RunEventKind::tree_empty : core::RunEventKind::tree_changed});
}

/// Reaps what has ended, or enough of it for one go.
void RunLoop::reap_ended() {
  const core::TimePoint until = core::Clock::now() + kReapTime;
  for (std::size_t count = 0; count < kReapBatch && (count == 0 || core::Clock::now() < until); ++count) {
    const auto ended = sys::peek_ended_child();
    if (!ended) {
      unreaped_ = false;
      reap_first_ = 0;
      return;
    }
    reap_one(ended->info.si_pid);
    if (reap_first_ > 0) --reap_first_;
    if (backlog_.value_or(0) > 0) --*backlog_;
  }
  unreaped_ = true;
}

/// The child still holds its pid: what must be known of it is looked up before it is reaped.
void RunLoop::reap_one(pid_t pid) {
  const bool is_main = pid == resources_.main.pid && state_.main_alive;
  const bool is_ours = is_main || !tree_.is_strange_child(pid);
  const std::string comm = observer_.event && is_ours && !is_main ? tree_.comm(pid) : std::string();
  if (is_main && resources_.page != nullptr) resources_.page->reachable_main.store(0);
  const auto child = sys::reap(pid);
  if (!child) return;
  if (is_main) {
    main_ended(*child);
    return;
  }
  if (!is_ours) {
    tree_.forget_stranger(pid);
    return;
  }
  ledger_.note_reaped(*child, now_);
  if (!observer_.event) return;
  emit_adopted();
  const core::ExitStatus exit = core::exit_status(child->info);
  if (!tree_.forget_adopted(pid)) emit(core::AdoptedEvent{.pid = pid, .comm = comm});
  emit(core::ExitedEvent{.pid = pid, .main = false, .code = exit.code, .signal = exit.signal});
}

void RunLoop::main_ended(const sys::ChildEnd& child) {
  resources_.loop.remove(resources_.main.pid_fd.get());
  resources_.main.pid_fd.reset();  // the cleanup may be short of descriptors
  report_.exit = core::exit_status(child.info);
  report_.main->duration = core::to_millis(now_ - main_started_at_);
  report_.main->rusage = resource_usage(child.usage);
  ledger_.note_main(child);
  if (resources_.page != nullptr) {
    resources_.page->main_wait_status.store(child.info.si_status);
    resources_.page->main_wait_code.store(child.info.si_code);
  }
  emit(core::ExitedEvent{
      .pid = child.info.si_pid, .main = true, .code = report_.exit->code, .signal = report_.exit->signal});
  state_.main_alive = false;
  // A command that never reaped its children leaves us their zombies, any number of them. They are no leftovers, so all
  // that are there now go before anybody is counted; not those that come meanwhile, which may be without end.
  reap_ended();
  if (unreaped_) {
    backlog_ = tree_.count_children();
  } else {
    count_leftovers();
  }
}

void RunLoop::count_leftovers() {
  backlog_.reset();
  const bool empty = tree_empty();
  if (!empty) {
    const int count = ledger_.note_leftovers(now_);
    emit_adopted();
    emit(core::LeftEvent{.count = count});
    resources_.registration.leave(ledger_.leftovers());
  }
  feed({.kind = core::RunEventKind::main_exited, .tree_empty = empty});
}

/// Nothing is left: no child, dead or alive, and nobody in the cgroup. As a subreaper we inherit every orphan, so a
/// living descendant always has a living ancestor among our children; who is in the cgroup may be no descendant.
bool RunLoop::tree_empty() {
  if (sys::has_children() && !(tree_.has_strangers() && tree_.living().empty())) return false;
  return !somebody_in_cgroup();
}

}  // namespace reapctl::engine
