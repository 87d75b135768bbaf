#include "core/record.hpp"

namespace reapctl::core {

std::vector<ProcessId> recorded_processes(const RunRecord& record) {
  std::vector<ProcessId> all = record.leftovers;
  all.push_back(record.supervisor);
  if (record.guard) all.push_back(*record.guard);
  if (record.main) all.push_back(record.main->id);
  return all;
}

}  // namespace reapctl::core
