#pragma once

#include "core/ownership.hpp"

#include <optional>
#include <string>
#include <vector>

namespace reapctl::core {

/// For each process the id of a run that is not on record here and that the process may belong to; empty for none. Such
/// a run, of another registry or of none, may be active all the same. These belong to it:
/// - a process that carries its cookie, or holds its lock open, and is not of a run inside of it;
/// - its reapctl, which carries the cookies of the enclosing runs only: the parent of such a process, if it does not
///   carry the cookie and is called reapctl (any other parent may have adopted an orphan); and the parent of that, if
///   it has the same name (the supervisor is a fork of the guard);
/// - the descendants of these.
/// `owners` are those of attribute().
[[nodiscard]] std::vector<std::string> unrecorded_runs(const std::vector<OwningRun>& runs,
                                                       const std::vector<ProcessFacts>& processes,
                                                       const std::vector<std::optional<Owner>>& owners);

}  // namespace reapctl::core
