#pragma once

#include "engine/leftovers.hpp"

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace reapctl::engine {

/// remove_leftovers in a child process. If the file system does not answer, even if SIGKILL does not end the child
/// then, the child is left behind a moment after `deadline`. Where no child can be made, it is done here.
[[nodiscard]] LeftoversRemoved remove_leftovers_in_child(const core::RunRecord& record, const LeftoverScope& scope,
                                                         core::TimePoint deadline,
                                                         const std::function<void(std::string_view line)>& progress);

/// The answer of the child, and back again; nullopt: the text is no such answer.
[[nodiscard]] std::string encode(const LeftoversRemoved& removed);
[[nodiscard]] std::optional<LeftoversRemoved> decode_leftovers(std::string_view text);

}  // namespace reapctl::engine
