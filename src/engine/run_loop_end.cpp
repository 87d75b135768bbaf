#include "engine/run_loop.hpp"

#include <algorithm>
#include <optional>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <utility>

/// The end of a run: how it is known that nobody is left, what is removed then; and the look for adopted children.
namespace reapctl::engine {

/// The end of the last process in the cgroup need not be that of a child of ours. So the cgroup is watched from the
/// first time on that it alone is not empty. Then it is read once more, for it may have become empty in between.
bool RunLoop::somebody_in_cgroup() {
  auto& cgroup = resources_.cgroup;
  if (!cgroup || !cgroup->is_populated()) return false;
  if (cgroup->is_watched()) return true;
  const auto watched = resources_.loop.add(cgroup->watch(), EPOLLPRI, kCgroupChanged);
  if (!watched && !std::exchange(cgroup_unwatched_, true)) {
    report_.warnings.push_back("the end of the last process in the cgroup may be noticed late: cannot " +
                               watched.error().message());
  }
  return cgroup->is_populated();
}

void RunLoop::on_cgroup_changed() {
  if (!resources_.cgroup->is_populated() && !state_.main_alive && tree_empty()) {
    feed({.kind = core::RunEventKind::tree_empty});
  }
}

/// The ladder has done what it could: nobody is left, or nobody who can be killed.
void RunLoop::stopped() {
  if (!report_.stop || ladder_closed_) return;
  ladder_closed_ = true;
  report_.stop->duration = since_stop();
  ledger_.close_rung();
}

/// A few hundred cgroups at a time: then signals and deadlines get their turn.
void RunLoop::remove_cgroup() {
  if (resources_.cgroup) {
    if (!report_.cgroup && plan_.report.kind != core::OutputTarget::Kind::none)
      report_.cgroup = resources_.cgroup->figures();  // while there is something to read
    const auto removed = resources_.cgroup->remove_some();
    if (removed && !*removed) {
      if (cgroup_turn_.valid()) return;
      cgroup_turn_.reset(::eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK));
      if (resources_.loop.add(cgroup_turn_.get(), EPOLLIN, kCgroupRemoval)) return;
      cgroup_problem_ = "it cannot be waited for";
    }
    if (!removed) cgroup_problem_ = "cannot " + removed.error().message();
  }
  cgroup_turn_.reset();  // which takes it out of the loop
  remove_workdir();
}

/// What is told of the cgroup at the end.
void RunLoop::note_cgroup() {
  if (!resources_.cgroup || resources_.cgroup->is_gone()) return;
  report_.cgroup = resources_.cgroup->figures();
  if (state_.released) return;
  if (cgroup_problem_.empty()) cgroup_problem_ = "there was no time to remove it";
  if (resources_.cgroup->is_populated()) cgroup_problem_ = "somebody is left in it";
  report_.warnings.push_back("the cgroup " + resources_.cgroup->path() + " stays: " + cgroup_problem_);
}

void RunLoop::remove_workdir() {
  const bool success =
      report_.exit && core::run_result(state_.stop, report_.exit, plan_.ok_exit) == core::RunResult::success;
  const int fd = cleanup_.start(success, now_);
  if (fd >= 0 && resources_.loop.add(fd, EPOLLIN, kRemoval)) {
    if (observer_.removal_progress && cleanup_.is_deleting()) display_.emplace(now_);
    return;
  }
  removed(false);
}

void RunLoop::show_progress() {
  if (!display_) return;
  if (const auto line = display_->line(now_, cleanup_.files_removed())) observer_.removal_progress(*line);
}

std::optional<core::TimePoint> RunLoop::next_wakeup() const {
  const auto deadline = core::next_deadline(state_);
  if (!display_) return deadline;
  return deadline ? std::min(*deadline, display_->next()) : display_->next();
}

/// Not while the tree is stopped, and looked at all the time.
std::optional<core::TimePoint> RunLoop::next_look() const {
  const bool in_peace = state_.phase == core::RunPhase::running || state_.phase == core::RunPhase::waiting;
  return in_peace ? adoptions_.next() : std::nullopt;
}

void RunLoop::look_for_adopted() {
  if (!next_look()) return;
  adoptions_.look(now_);
  emit_adopted();
}

void RunLoop::emit_adopted() {
  for (const core::ProcessStat& process : tree_.take_adopted()) {
    emit(core::AdoptedEvent{.pid = process.id.pid, .comm = process.comm});
  }
}

void RunLoop::removed(bool abandoned) {
  if (display_) observer_.removal_progress("");
  display_.reset();
  cleanup_.finish(abandoned, core::Clock::now());
  if (const auto workdir = cleanup_.report(); workdir && workdir->deleted) {
    emit(core::WorkdirEvent{.files = workdir->files, .bytes = workdir->bytes, .duration = workdir->duration});
  }
  if (!abandoned) feed({.kind = core::RunEventKind::removed});
}

}  // namespace reapctl::engine
