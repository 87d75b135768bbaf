#pragma once

#include "cli/options.hpp"
#include "cli/values.hpp"
#include "core/run_list.hpp"
#include "engine/registry.hpp"

#include <span>
#include <string>
#include <vector>

/// What list, show and stop have in common. All throw BadOption.
namespace reapctl::cli {

/// --format json or --json.
[[nodiscard]] bool wants_json(const GivenOptions& given);

/// The registries in which the user's runs are; for root those of everybody.
[[nodiscard]] std::vector<engine::Registry> registries_to_read(const GivenOptions& given,
                                                               std::vector<std::string>& warnings);

/// The runs in them, with their processes.
[[nodiscard]] core::RunList list_runs(const GivenOptions& given);

/// The one run that RUN means: an id or a unique beginning of one. nullopt: there is none.
[[nodiscard]] std::optional<std::size_t> find_run(const std::vector<std::string>& ids, const std::string& operand);

}  // namespace reapctl::cli
