#include "report/sweep_json.hpp"

#include "core/format.hpp"
#include "core/redact.hpp"
#include "report/json_value.hpp"

#include <utility>

namespace reapctl::report {
namespace {

constexpr int kSchemaVersion = 1;

Json to_value(const core::SweptProcess& swept) {
  const core::ProcessDetails& process = swept.process;
  return {
      {"pid", process.pid},
      {"ppid", process.ppid},
      {"start_ticks", process.start_ticks},
      {"comm", process.comm},
      {"cmdline", core::redact_args(process.argv, core::ArgsShown::redacted)},
      {"user", or_null(swept.user)},
      {"age_ms", process.age_ms},
      {"rss_bytes", process.rss_bytes},
      {"listening", process.listening},
      {"run_id", or_null(swept.run_id)},
      {"name", or_null(swept.name)},
      {"identified_by", swept.identified_by},
      {"owner_verdict", or_null(swept.owner_verdict)},
      {"died_of", or_null(swept.died_of)},
      {"after_ms", or_null(swept.after)},
      {"rung", or_null(swept.rung)},
      {"reason", or_null(swept.reason)},
  };
}

Json to_value(const std::vector<core::SweptProcess>& list) {
  Json values = Json::array();
  for (const core::SweptProcess& swept : list) values.push_back(to_value(swept));
  return values;
}

Json to_value(const core::Origin& origin) {
  return origin_value(origin, core::redact_args(origin.argv, core::ArgsShown::redacted));
}

Json to_value(const core::SweptRun& run) {
  return {
      {"run_id", run.run_id},
      {"name", run.name},
      {"user", or_null(run.user)},
      {"verdict", core::name_of(run.verdict)},
      {"reapctl_pids", run.reapctl_pids},
      {"started_at", run.started_at ? Json(core::rfc3339(*run.started_at)) : Json(nullptr)},
      {"origin", run.origin ? to_value(*run.origin) : Json(nullptr)},
      {"cgroup", or_null(run.cgroup)},
      {"workdir", or_null(run.workdir)},
      {"workdir_files", run.workdir_files},
      {"workdir_bytes", run.workdir_bytes},
      {"remove", run.remove},
      {"lock_name", or_null(run.lock_name)},
      {"clean", run.clean},
      {"reason", or_null(run.reason)},
  };
}

Json skipped_value(const core::SweepReport& report) {
  Json list = Json::array();
  for (const core::SkippedItem& item : report.skipped) {
    list.push_back({{"run_id", or_null(item.run_id)},
                    {"name", or_null(item.name)},
                    {"user", or_null(item.user)},
                    {"verdict", or_null(item.verdict)},
                    {"reason", item.reason}});
  }
  for (const std::string& warning : report.warnings) {
    list.push_back(
        {{"run_id", nullptr}, {"name", nullptr}, {"user", nullptr}, {"verdict", nullptr}, {"reason", warning}});
  }
  return list;
}

Json summary_value(const core::SweepReport& report) {
  const auto killed = std::count_if(report.victims.begin(), report.victims.end(),
                                    [](const core::SweptProcess& victim) { return victim.after.has_value(); });
  std::int64_t bytes = 0;
  for (const core::RemovedItem& item : report.removed) bytes += item.bytes;
  return {{"runs_examined", report.runs_examined},
          {"runs_active", report.runs_active},
          {"runs_orphaned", report.runs_orphaned},
          {"processes_examined", report.processes_examined},
          {"killed", killed},
          {"survived", report.survivors.size()},
          {"unknown", report.unknown.size()},
          {"bytes_freed", bytes}};
}

}  // namespace

std::string to_json(const core::SweepReport& report) {
  Json runs = Json::array();
  for (const core::SweptRun& run : report.runs) runs.push_back(to_value(run));
  Json removed = Json::array();
  for (const core::RemovedItem& item : report.removed) {
    removed.push_back({{"kind", item.kind},
                       {"path", item.path},
                       {"run_id", item.run_id},
                       {"files", item.files},
                       {"bytes", item.bytes}});
  }
  const Json json = {
      {"schema_version", kSchemaVersion},
      {"started_at", core::rfc3339(report.started_at)},
      {"ended_at", core::rfc3339(report.ended_at)},
      {"duration_ms", report.duration.count()},
      {"dry_run", report.dry_run},
      {"runs", std::move(runs)},
      {"victims", to_value(report.victims)},
      {"unknown", to_value(report.unknown)},
      {"survivors", to_value(report.survivors)},
      {"removed", std::move(removed)},
      {"skipped", skipped_value(report)},
      {"summary", summary_value(report)},
      {"exit_code", report.exit_code},
  };
  return one_line(json);
}

}  // namespace reapctl::report
