#include "core/matching.hpp"

#include <algorithm>

namespace reapctl::core {

MatchVerdict judge(const std::vector<Criterion>& criteria) {
  MatchVerdict verdict{.holds = Holds::yes, .names = {}, .unreadable = {}};
  for (const Criterion& criterion : criteria) {
    verdict.holds = std::min(verdict.holds, criterion.holds);
    if (criterion.holds == Holds::unreadable) {
      verdict.unreadable += (verdict.unreadable.empty() ? "" : " and ") + criterion.what;
    }
    verdict.names.push_back(criterion.name);
  }
  if (verdict.holds != Holds::yes) verdict.names.clear();
  if (verdict.holds != Holds::unreadable) verdict.unreadable.clear();
  return verdict;
}

bool leads_to(const std::string& link, const std::string& wanted) {
  return link == wanted || link == wanted + " (deleted)";
}

}  // namespace reapctl::core
