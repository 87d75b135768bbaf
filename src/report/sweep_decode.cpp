#include "core/format.hpp"
#include "report/json_value.hpp"
#include "report/sweep_json.hpp"

namespace reapctl::report {
namespace {

/// Absent, null and of another type are all the same here: nothing is decided by what is read, it is only shown.
template <class T>
T value_or(const Json& object, const char* key, T otherwise) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  if (!object.is_object() || found == object.end()) return otherwise;
  if constexpr (std::is_same_v<T, std::string>) {
    return found->is_string() ? found->template get<std::string>() : otherwise;
  } else if constexpr (std::is_same_v<T, bool>) {
    return found->is_boolean() ? found->template get<bool>() : otherwise;
  } else {
    return found->is_number_integer() ? found->template get<T>() : otherwise;
  }
}

std::string text(const Json& object, const char* key) {
  return value_or(object, key, std::string());
}

const Json& list(const Json& object, const char* key) {
  static const Json kNone = Json::array();
  const auto found = object.is_object() ? object.find(key) : object.end();
  return object.is_object() && found != object.end() && found->is_array() ? *found : kNone;
}

std::vector<std::string> texts(const Json& object, const char* key) {
  std::vector<std::string> all;
  for (const Json& each : list(object, key)) {
    if (each.is_string()) all.push_back(each.get<std::string>());
  }
  return all;
}

core::SweptProcess swept_process(const Json& json) {
  core::SweptProcess swept;
  core::ProcessDetails& process = swept.process;
  process.pid = value_or<pid_t>(json, "pid", 0);
  process.ppid = value_or<pid_t>(json, "ppid", 0);
  process.start_ticks = value_or<std::uint64_t>(json, "start_ticks", 0);
  process.comm = text(json, "comm");
  process.argv = texts(json, "cmdline");
  process.age_ms = value_or<std::int64_t>(json, "age_ms", 0);
  process.rss_bytes = value_or<std::int64_t>(json, "rss_bytes", 0);
  process.listening = texts(json, "listening");
  swept.user = text(json, "user");
  swept.run_id = text(json, "run_id");
  swept.name = text(json, "name");
  swept.identified_by = texts(json, "identified_by");
  swept.owner_verdict = text(json, "owner_verdict");
  swept.died_of = text(json, "died_of");
  if (const auto after = value_or<std::int64_t>(json, "after_ms", -1); after >= 0) swept.after = core::Millis(after);
  swept.rung = text(json, "rung");
  swept.reason = text(json, "reason");
  return swept;
}

std::vector<core::SweptProcess> swept_processes(const Json& json, const char* key) {
  std::vector<core::SweptProcess> all;
  for (const Json& each : list(json, key)) all.push_back(swept_process(each));
  return all;
}

core::Verdict verdict_of(const std::string& name) {
  for (const auto verdict : {core::Verdict::active, core::Verdict::cleaning, core::Verdict::orphaned,
                             core::Verdict::released, core::Verdict::gone, core::Verdict::foreign}) {
    if (core::name_of(verdict) == name) return verdict;
  }
  return core::Verdict::unknown;
}

core::SweptRun swept_run(const Json& json) {
  core::SweptRun run;
  run.run_id = text(json, "run_id");
  run.name = text(json, "name");
  run.user = text(json, "user");
  run.verdict = verdict_of(text(json, "verdict"));
  for (const Json& pid : list(json, "reapctl_pids")) {
    if (pid.is_number_integer()) run.reapctl_pids.push_back(pid.get<pid_t>());
  }
  run.started_at = core::parse_rfc3339(text(json, "started_at"));
  if (const auto origin = json.find("origin"); origin != json.end() && origin->is_object()) {
    run.origin = core::Origin{.ppid = value_or<pid_t>(*origin, "ppid", 0),
                              .comm = text(*origin, "comm"),
                              .argv = texts(*origin, "cmdline"),
                              .user = text(*origin, "user"),
                              .tty = text(*origin, "tty"),
                              .unit = text(*origin, "unit"),
                              .ci = text(*origin, "ci")};
  }
  run.cgroup = text(json, "cgroup");
  run.workdir = text(json, "workdir");
  run.workdir_files = value_or<std::int64_t>(json, "workdir_files", 0);
  run.workdir_bytes = value_or<std::int64_t>(json, "workdir_bytes", 0);
  run.remove = texts(json, "remove");
  run.lock_name = text(json, "lock_name");
  run.clean = value_or(json, "clean", false);
  run.reason = text(json, "reason");
  return run;
}

}  // namespace

sys::Result<core::SweepReport> sweep_report_of(std::string_view bytes) {
  const Json json = Json::parse(bytes, nullptr, false);
  if (!json.is_object() || !json.contains("summary")) {
    return sys::Error{.code = 0, .operation = "it is no report of a sweep", .subject = {}};
  }
  core::SweepReport report;
  for (const Json& run : list(json, "runs")) {
    if (run.is_object()) report.runs.push_back(swept_run(run));
  }
  report.victims = swept_processes(json, "victims");
  report.unknown = swept_processes(json, "unknown");
  report.survivors = swept_processes(json, "survivors");
  for (const Json& item : list(json, "removed")) {
    report.removed.push_back({.kind = text(item, "kind"),
                              .path = text(item, "path"),
                              .run_id = text(item, "run_id"),
                              .files = value_or<std::int64_t>(item, "files", 0),
                              .bytes = value_or<std::int64_t>(item, "bytes", 0)});
  }
  for (const Json& item : list(json, "skipped")) {
    if (text(item, "run_id").empty()) {
      report.warnings.push_back(text(item, "reason"));
    } else {
      report.skipped.push_back({.run_id = text(item, "run_id"),
                                .name = text(item, "name"),
                                .user = text(item, "user"),
                                .verdict = text(item, "verdict"),
                                .reason = text(item, "reason")});
    }
  }
  const Json& summary = json["summary"];
  report.runs_examined = value_or(summary, "runs_examined", 0);
  report.runs_active = value_or(summary, "runs_active", 0);
  report.runs_orphaned = value_or(summary, "runs_orphaned", 0);
  report.processes_examined = value_or(summary, "processes_examined", 0);
  report.exit_code = value_or(json, "exit_code", core::kExitNotGone);
  return report;
}

}  // namespace reapctl::report
