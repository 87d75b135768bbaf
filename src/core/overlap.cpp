#include "core/overlap.hpp"

#include "core/exit_status.hpp"
#include "core/format.hpp"

namespace reapctl::core {
namespace {

constexpr std::size_t kLongestLockName = 64;

std::string doing(const LockHolder& holder) {
  std::string text;
  switch (holder.state) {
    case RecordState::starting: text = "starting"; break;
    case RecordState::running: text = holder.main ? "running" : "waiting for what is left of"; break;
    case RecordState::stopping: text = "stopping"; break;
    case RecordState::released: text = "released, with processes of its own left running, after"; break;
  }
  text += " " + holder.command;
  if (!holder.main) return text;
  text += " (pid " + std::to_string(holder.main->pid);
  if (holder.main->known()) text.append(", state ").append(1, holder.main->state);
  if (!holder.main->wchan.empty()) text += " in " + holder.main->wchan;
  return text + ")";
}

}  // namespace

bool is_lock_name(std::string_view name) {
  constexpr std::string_view kAllowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
  return !name.empty() && name.size() <= kLongestLockName && name != "." && name != ".." &&
         name.find_first_not_of(kAllowed) == std::string_view::npos;
}

FormerMove about_former_holder(const RunRecord& record, Verdict verdict) {
  switch (verdict) {
    case Verdict::cleaning:  // another sweep is at it, a command is about to begin, or it is dying: sweep waits
    case Verdict::orphaned:
    case Verdict::released:
    case Verdict::gone: return FormerMove::finish;
    case Verdict::active:  // its descriptors are closed one after the other
    case Verdict::unknown: return FormerMove::look_again;
    case Verdict::foreign:
      // It has let go of the lock, so it is dead; and when PID 1 of a namespace dies, all die with it.
      return record.supervisor.pid == 1 && !record.guard ? FormerMove::start : FormerMove::refuse;
  }
  return FormerMove::refuse;
}

OverlapMove about_holder(const LockPlan& plan, const LockHolder& holder, bool waited_out) {
  switch (plan.on_overlap) {
    case OnOverlap::skip:
    case OnOverlap::fail: return OverlapMove::lose;
    case OnOverlap::wait:
      if (holder.encloses_us && !plan.wait_limit) return OverlapMove::refuse;
      return waited_out ? OverlapMove::lose : OverlapMove::wait;
    case OnOverlap::kill:
      if (holder.encloses_us || holder.state == RecordState::released) return OverlapMove::refuse;
      return holder.run_id.empty() ? OverlapMove::wait : OverlapMove::stop_holder;
  }
  return OverlapMove::refuse;
}

int overlap_exit_code(OnOverlap policy) {
  return policy == OnOverlap::skip ? 0 : kExitOverlap;
}

std::string holder_sentence(std::string_view lock, const LockHolder& holder, WallTime now) {
  std::string text = "lock \"" + std::string(lock) + "\" is held by ";
  if (holder.run_id.empty()) return text + "a run that is just starting, or just ending";
  text += "run " + holder.run_id + " " + holder.name + " (reapctl " + std::to_string(holder.reapctl_pid) + ")";
  if (holder.started_at) {
    text += " since " + rfc3339(*holder.started_at) + ", for " +
            human_duration(std::chrono::duration_cast<Millis>(now - *holder.started_at));
  }
  text += ": " + doing(holder);
  if (!holder.inside_of.empty()) {
    text += "; it was started inside of run " + holder.inside_of + ", which took the lock and whose reapctl is dead";
  }
  if (holder.encloses_us) text += "; this run was started inside of it";
  return text;
}

}  // namespace reapctl::core
