#pragma once

#include "engine/leftovers.hpp"

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace reapctl::engine {

/// remove_leftovers in a child process: where the file system does not answer, be it that not even SIGKILL ends who has
/// asked it, that one is left behind a moment after `deadline`. Where no child can be made, it is done here.
[[nodiscard]] LeftoversRemoved remove_leftovers_in_child(const core::RunRecord& record, const LeftoverScope& scope,
                                                         core::TimePoint deadline,
                                                         const std::function<void(std::string_view line)>& progress);

/// What the child says, and what is made of that; nullopt: it was not said so.
[[nodiscard]] std::string encode(const LeftoversRemoved& removed);
[[nodiscard]] std::optional<LeftoversRemoved> decode_leftovers(std::string_view text);

}  // namespace reapctl::engine
