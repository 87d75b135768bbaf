#include "core/format.hpp"
#include "core/redact.hpp"
#include "report/json_value.hpp"
#include "report/list_report.hpp"
#include "report/record_json.hpp"

#include <set>
#include <utility>

namespace reapctl::report {
namespace {

constexpr int kSchemaVersion = 1;

Json id_value(const core::ProcessId& id) {
  return {{"pid", id.pid}, {"start_ticks", id.start_ticks}};
}

Json cleanup_value(const core::ListedRun& run) {
  return run.is_left_behind() ? Json("reapctl sweep " + run.run_id) : Json(nullptr);
}

Json run_value(const core::ListedRun& run) {
  std::int64_t rss = 0;
  std::set<std::string> listening;
  for (const core::ProcessDetails& process : run.processes) {
    rss += process.rss_bytes;
    listening.insert(process.listening.begin(), process.listening.end());
  }
  const auto of_record = [&](const auto& value) { return run.record ? Json(value(*run.record)) : Json(nullptr); };
  return {
      {"run_id", run.run_id},
      {"name", of_record([](const core::RunRecord& record) { return record.name; })},
      {"user", or_null(run.user)},
      {"verdict", core::name_of(run.verdict)},
      {"argv", run.record ? run.record->argv : std::vector<std::string>{}},
      {"started_at", of_record([](const core::RunRecord& record) { return core::rfc3339(record.started_at); })},
      {"age_ms", or_null(run.age)},
      {"guard", run.record && run.record->guard ? id_value(*run.record->guard) : Json(nullptr)},
      {"supervisor", of_record([](const core::RunRecord& record) { return id_value(record.supervisor); })},
      {"main", run.record && run.record->main ? id_value(run.record->main->id) : Json(nullptr)},
      {"processes", run.processes.size()},
      {"rss_bytes", rss},
      {"listening", listening},
      {"workdir", run.record && run.record->workdir ? Json(run.record->workdir->path) : Json(nullptr)},
      {"lock_name", run.record ? or_null(run.record->lock_name) : Json(nullptr)},
      {"unit", run.record && run.record->origin ? or_null(run.record->origin->unit) : Json(nullptr)},
      {"ci", run.record && run.record->origin ? or_null(run.record->origin->ci) : Json(nullptr)},
      {"problem", or_null(run.problem)},
      {"cleanup", cleanup_value(run)},
  };
}

Json process_value(const core::ProcessDetails& process) {
  return {
      {"pid", process.pid},
      {"ppid", process.ppid},
      {"start_ticks", process.start_ticks},
      {"comm", process.comm},
      {"cmdline", core::redact_args(process.argv, core::ArgsShown::redacted)},
      {"state", std::string(1, process.state)},
      {"wchan", or_null(process.wchan)},
      {"cpu_ms", process.cpu_ms},
      {"rss_bytes", process.rss_bytes},
      {"age_ms", process.age_ms},
      {"listening", process.listening},
  };
}

}  // namespace

std::string list_json(const core::RunList& list) {
  Json runs = Json::array();
  for (const core::ListedRun& run : list.runs) runs.push_back(run_value(run));
  return one_line({{"schema_version", kSchemaVersion},
                   {"at", core::rfc3339(list.at)},
                   {"runs", std::move(runs)},
                   {"warnings", list.warnings}});
}

std::string show_json(const core::ListedRun& run, core::WallTime at) {
  Json tree = Json::array();
  for (const core::ProcessDetails& process : run.processes) tree.push_back(process_value(process));
  Json record = nullptr;
  if (run.record) record = Json::parse(record_codec().encode(*run.record).text, nullptr, false);
  return one_line({{"schema_version", kSchemaVersion},
                   {"at", core::rfc3339(at)},
                   {"run", run_value(run)},
                   {"tree", std::move(tree)},
                   {"record", std::move(record)}});
}

}  // namespace reapctl::report
