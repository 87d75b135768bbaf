#include "cli/runs.hpp"

#include "cli/sweep_plan.hpp"
#include "engine/inventory.hpp"
#include "report/record_json.hpp"

#include <algorithm>
#include <array>
#include <unistd.h>

namespace reapctl::cli {
namespace {

constexpr char kOutput[] = "Output";
constexpr char kWhich[] = "Which run";

constexpr OptionRow kFormat{"format", 0, "FORMAT", kOutput, "text or json [text]", false};
constexpr OptionRow kJson{"json", 0, "", kOutput, "Short for --format json", false};

constexpr std::array kListRows = {
    OptionRow{"all-users", 0, "", kWhich, "The runs of all users, which root sees by itself", false}, kFormat, kJson};
constexpr std::array kShowRows = {
    OptionRow{"pid", 0, "PID", kWhich, "The run that this process belongs to", false},
    OptionRow{"port", 0, "PORT", kWhich, "The run of the process that listens on this TCP port", false}, kFormat,
    kJson};
constexpr std::array kStopRows = {
    OptionRow{"name", 0, "NAME", kWhich, "All active runs of that name", false},
    OptionRow{"stop-timeout", 0, "DUR", kWhich, "Wait no longer than this [what the ladder takes and 1m]", false}};

constexpr std::array kDoctorRows = {kFormat, kJson};

}  // namespace

std::span<const OptionRow> doctor_option_rows() {
  return kDoctorRows;
}
std::span<const OptionRow> list_option_rows() {
  return kListRows;
}
std::span<const OptionRow> show_option_rows() {
  return kShowRows;
}
std::span<const OptionRow> stop_option_rows() {
  return kStopRows;
}

bool wants_json(const GivenOptions& given) {
  const auto value = given.last("format");
  return given.has("json") || (value && choice<bool>(*value, {{"text", false}, {"json", true}}));
}

std::vector<engine::Registry> registries_to_read(const GivenOptions& given, Refusals& refusals) {
  if (!proc::ProcFs::is_usable()) throw BadOption{"/proc is missing or belongs to another PID namespace"};
  const std::string directory = registry_directory(given);
  auto registries = engine::Registry::open_existing({.chosen = directory}, refusals.own);
  if (!registries) throw BadOption{"cannot " + registries.error().message()};
  if (!directory.empty() || ::geteuid() != 0) return registries.take();
  auto all = engine::Registry::open_of_all_users({}, refusals.others);
  std::erase_if(refusals.others, [&](const std::string& refusal) {
    return std::find(refusals.own.begin(), refusals.own.end(), refusal) != refusals.own.end();
  });
  return all;
}

core::RunList list_runs(const GivenOptions& given) {
  Refusals refusals;
  auto registries = registries_to_read(given, refusals);
  core::RunList list = engine::take_inventory(proc::ProcFs(), std::move(registries), report::record_codec());
  for (const auto* some : {&refusals.own, &refusals.others}) {
    list.warnings.insert(list.warnings.end(), some->begin(), some->end());
  }
  list.incomplete = !refusals.own.empty();
  return list;
}

std::optional<std::size_t> find_run(const std::vector<RunOnOffer>& runs, const std::string& operand) {
  const std::string prefix = run_prefix(operand);
  for (const bool own : {true, false}) {
    std::optional<std::size_t> found;
    for (std::size_t i = 0; i < runs.size(); ++i) {
      if (runs[i].own != own || !runs[i].id.starts_with(prefix)) continue;
      if (found) throw BadOption{"RUN \"" + operand + "\": more than one run begins with that"};
      found = i;
    }
    if (found) return found;
  }
  return std::nullopt;
}

}  // namespace reapctl::cli
