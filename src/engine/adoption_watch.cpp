#include "engine/adoption_watch.hpp"

#include "engine/registry.hpp"

#include <algorithm>
#include <unistd.h>
#include <utility>
#include <vector>

namespace reapctl::engine {
namespace {

/// The interval doubles from one look to the next.
constexpr core::Millis kFirstInterval{100};
constexpr core::Millis kLastInterval{10'000};

/// How many children go on record: so few that it still fits into Registration's kRoom, and is written in one go.
constexpr std::size_t kMost = 32;

}  // namespace

void AdoptionWatch::begin(core::TimePoint now) {
  // When the first process of a PID namespace dies, the kernel kills all others in it.
  if (!registration_.on_record() || ::getpid() == 1) return;
  interval_ = kFirstInterval;
  next_ = now + interval_;
}

void AdoptionWatch::look(core::TimePoint now) {
  if (!next_ || now < *next_) return;
  interval_ = std::min(2 * interval_, kLastInterval);
  next_ = now + interval_;
  std::vector<core::ProcessId> all;
  for (const core::ProcessStat& process : tree_.adopted_children(kMost)) all.push_back(process.id);
  // A leftover of the main command need not be a child of ours.
  for (const core::ProcessId& id : registration_.leftovers()) {
    const bool known = std::find(all.begin(), all.end(), id) != all.end();
    if (!known && all.size() < core::kListLimit && is_running(tree_.proc(), id)) all.push_back(id);
  }
  registration_.leave(std::move(all));
}

}  // namespace reapctl::engine
