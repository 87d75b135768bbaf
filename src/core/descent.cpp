#include "core/descent.hpp"

#include <cstddef>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace reapctl::core {

std::vector<ProcessStat> descendants_of(pid_t root, std::vector<ProcessStat> all) {
  std::unordered_map<pid_t, std::vector<std::size_t>> children;
  for (std::size_t i = 0; i < all.size(); ++i) children[all[i].ppid].push_back(i);

  std::vector<ProcessStat> found;
  std::unordered_set<pid_t> seen{root};
  const auto take_children_of = [&](pid_t parent) {
    const auto listed = children.find(parent);
    if (listed == children.end()) return;
    for (const std::size_t i : listed->second) {
      if (seen.insert(all[i].id.pid).second) found.push_back(std::move(all[i]));
    }
  };
  take_children_of(root);
  for (std::size_t next = 0; next < found.size(); ++next) take_children_of(found[next].id.pid);
  return found;
}

}  // namespace reapctl::core
