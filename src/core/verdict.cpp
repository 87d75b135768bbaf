#include "core/verdict.hpp"

namespace reapctl::core {

Verdict verdict(const RunRecord& record, const RunObservation& seen) {
  if (!seen.boot_known) return Verdict::unknown;
  if (!seen.same_boot) return Verdict::gone;
  if (!seen.same_pid_namespace) return Verdict::foreign;
  const bool alive = seen.guard_alive || seen.supervisor_alive;
  switch (seen.lock) {
    case LockState::held: return alive ? Verdict::active : Verdict::cleaning;
    case LockState::free:
      if (alive) return Verdict::unknown;
      return record.state == RecordState::released ? Verdict::released : Verdict::orphaned;
    case LockState::missing: return Verdict::unknown;
  }
  return Verdict::unknown;
}

std::string_view name_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::active: return "active";
    case Verdict::cleaning: return "cleaning";
    case Verdict::orphaned: return "orphaned";
    case Verdict::released: return "released";
    case Verdict::gone: return "gone";
    case Verdict::foreign: return "foreign";
    case Verdict::unknown: return "unknown";
  }
  return {};
}

}  // namespace reapctl::core
