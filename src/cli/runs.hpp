#pragma once

#include "cli/options.hpp"
#include "cli/values.hpp"
#include "core/run_list.hpp"
#include "engine/registry.hpp"

#include <span>
#include <string>
#include <vector>

/// What list, show and stop have in common.
namespace reapctl::cli {

/// --format json or --json.
[[nodiscard]] bool wants_json(const GivenOptions& given);

/// What could not be opened where runs may be, in words.
struct Refusals {
  std::vector<std::string> own;     ///< places of the effective user
  std::vector<std::string> others;  ///< what root was shown of other users
};

/// The registries in which the user's runs are; for root those of everybody.
[[nodiscard]] std::vector<engine::Registry> registries_to_read(const GivenOptions& given, Refusals& refusals);

/// The runs in them, with their processes.
[[nodiscard]] core::RunList list_runs(const GivenOptions& given);

/// What can be meant by RUN.
struct RunOnOffer {
  std::string id;
  bool own = true;  ///< of the effective user
};

/// The one run that RUN means: an id or a unique beginning of one. Our own come first: no user can keep root from
/// naming a run of its own by making one of the same id. nullopt: there is none. Throws BadOption if it is ambiguous.
[[nodiscard]] std::optional<std::size_t> find_run(const std::vector<RunOnOffer>& runs, const std::string& operand);

}  // namespace reapctl::cli
