#include "report/json.hpp"

#include "core/format.hpp"
#include "core/redact.hpp"
#include "report/json_value.hpp"
#include "report/names.hpp"
#include "sys/result.hpp"
#include "version.hpp"

namespace reapctl::report {
namespace {

constexpr int kSchemaVersion = 1;

Json to_value(const core::ResourceUsage& usage) {
  return object({
      {"utime_ms", usage.utime_ms},
      {"stime_ms", usage.stime_ms},
      {"maxrss_bytes", usage.maxrss_bytes},
      {"minflt", usage.minflt},
      {"majflt", usage.majflt},
      {"nvcsw", usage.nvcsw},
      {"nivcsw", usage.nivcsw},
      {"inblock", usage.inblock},
      {"oublock", usage.oublock},
  });
}

Json to_value(const core::ExitStatus& exit) {
  return object({
      {"kind", name_of(exit.kind)},
      {"code", or_null(exit.code)},
      {"signal", or_null(exit.signal)},
      {"signal_name", signal_name_or_null(exit.signal)},
      {"stage", or_null(exit.failed_stage)},
      {"errno_name", exit.failed_errno != 0 ? Json(sys::errno_name(exit.failed_errno)) : Json(nullptr)},
  });
}

Json to_value(const core::MainReport& main) {
  return object({
      {"pid", main.pid},
      {"started_at", core::rfc3339(main.started_at)},
      {"duration_ms", or_null(main.duration)},
      {"rusage", main.rusage ? to_value(*main.rusage) : Json(nullptr)},
  });
}

Json to_value(const core::CgroupReport& cgroup) {
  return object({
      {"path", cgroup.path},
      {"memory_peak_bytes", or_null(cgroup.memory_peak_bytes)},
      {"cpu_usage_us", or_null(cgroup.cpu_usage_us)},
      {"oom_kills", or_null(cgroup.oom_kills)},
  });
}

/// A fact from /proc/PID/stat: null for a process whose stat could not be read.
template <class T>
Json known(const core::ProcessDetails& process, const T& fact) {
  return process.known() ? Json(fact) : Json(nullptr);
}

/// A process that runs has memory: 0 is what is left to see of one that has let go of it and is about to be a zombie.
Json resident(const core::ProcessDetails& process) {
  return known(process, process.rss_bytes == 0 ? Json(nullptr) : Json(process.rss_bytes));
}

Json state_or_null(char state) {
  return state != '?' ? Json(std::string(1, state)) : Json(nullptr);
}

Json to_value(const core::ProcessDetails& process, core::ArgsShown shown) {
  return object({
      {"pid", process.pid},
      {"ppid", known(process, process.ppid)},
      {"comm", known(process, process.comm)},
      {"cmdline", core::redact_args(process.argv, shown)},
      {"state", state_or_null(process.state)},
      {"wchan", or_null(process.wchan)},
      {"cpu_ms", known(process, process.cpu_ms)},
      {"rss_bytes", resident(process)},
      {"age_ms", known(process, process.age_ms)},
      {"listening", process.listening},
  });
}

Json to_value(const core::RungReport& rung) {
  return object({
      {"signal_name", rung.signal_name},
      {"at_ms", rung.at.count()},
      {"told", rung.told},
      {"ended", rung.ended},
      {"left", rung.left},
  });
}

Json to_value(const core::StopReport& stop, core::ArgsShown shown) {
  Json snapshot = Json::array();
  for (const core::ProcessDetails& process : capped(stop.snapshot)) snapshot.push_back(to_value(process, shown));
  Json rungs = Json::array();
  for (const core::RungReport& rung : stop.rungs) rungs.push_back(to_value(rung));
  return object({
      {"cause", name_of(stop.cause)},
      {"signal_name", signal_name_or_null(stop.signal)},
      {"sender_pid", or_null(stop.sender_pid)},
      {"requested_at", core::rfc3339(stop.requested_at)},
      {"duration_ms", stop.duration.count()},
      {"snapshot", std::move(snapshot)},
      {"rungs", std::move(rungs)},
      {"timeout_hit", stop.timeout_hit},
  });
}

Json to_value(const core::Leftover& leftover, core::ArgsShown shown) {
  const core::ProcessDetails& process = leftover.process;
  return object({
      {"pid", process.pid},
      {"ppid", known(process, process.ppid)},
      {"pgid", known(process, process.pgid)},
      {"sid", known(process, process.sid)},
      {"comm", known(process, process.comm)},
      {"cmdline", core::redact_args(process.argv, shown)},
      {"age_ms", known(process, process.age_ms)},
      {"rss_bytes", resident(process)},
      {"listening", process.listening},
      {"died_of", signal_name_or_null(leftover.died_of)},
      {"after_ms", or_null(leftover.after)},
      {"rung", or_null(leftover.rung)},
  });
}

Json to_value(const core::Survivor& survivor) {
  return object({
      {"pid", survivor.pid},
      {"comm", or_null(survivor.comm)},
      {"state", state_or_null(survivor.state)},
      {"wchan", or_null(survivor.wchan)},
      {"reason", survivor.reason},
  });
}

/// How many entries a list of `listed` lacks, when there were `total`. A total that was never counted is no loss.
std::size_t missing(std::size_t listed, int total) {
  const std::size_t all = std::max(listed, static_cast<std::size_t>(std::max(total, 0)));
  return all - std::min(listed, core::kListLimit);
}

std::size_t omitted(const core::RunReport& report) {
  const core::TreeReport& tree = report.tree;
  std::size_t count = missing(tree.leftovers.size(), tree.leftovers_total);
  count += missing(tree.survivors.size(), tree.survivors_total);
  if (report.stop) count += missing(report.stop->snapshot.size(), tree.snapshot_total);
  if (report.workdir) count += missing(report.workdir->errors.size(), report.workdir->errors_total);
  return count;
}

Json tree_value(const core::RunReport& report, core::ArgsShown shown) {
  const core::TreeReport& tree = report.tree;
  Json leftovers = Json::array();
  for (const core::Leftover& leftover : capped(tree.leftovers)) leftovers.push_back(to_value(leftover, shown));
  Json survivors = Json::array();
  for (const core::Survivor& survivor : capped(tree.survivors)) survivors.push_back(to_value(survivor));
  return object({
      {"adopted", tree.adopted},
      {"reaped", tree.reaped},
      {"reaped_rusage", to_value(tree.reaped_rusage)},
      {"peak_processes", or_null(tree.peak_processes)},
      {"leftovers", std::move(leftovers)},
      {"omitted", omitted(report)},
      {"survivors", std::move(survivors)},
  });
}

Json to_value(const core::OutputReport& output) {
  const bool truncated = output.stdout_bytes > static_cast<std::int64_t>(output.stdout_tail.size()) ||
                         output.stderr_bytes > static_cast<std::int64_t>(output.stderr_tail.size());
  return object({
      {"stdout_tail", output.stdout_tail},
      {"stderr_tail", output.stderr_tail},
      {"stdout_bytes", output.stdout_bytes},
      {"stderr_bytes", output.stderr_bytes},
      {"truncated", truncated},
  });
}

Json to_value(const core::WorkdirReport& workdir) {
  Json errors = Json::array();
  for (const core::WorkdirError& error : capped(workdir.errors)) {
    errors.push_back(object({{"path", error.path}, {"errno_name", error.errno_name}}));
  }
  return object({
      {"path", workdir.path},
      {"kept", workdir.kept},
      {"files", workdir.files},
      {"directories", workdir.directories},
      {"bytes", workdir.bytes},
      {"duration_ms", workdir.duration.count()},
      {"threads", workdir.threads},
      {"errors", std::move(errors)},
  });
}

}  // namespace

std::string to_json(const core::RunReport& report, core::ArgsShown shown) {
  const Json json = object({
      {"schema_version", kSchemaVersion},
      {"reapctl_version", kVersion},
      {"run_id", report.run_id},
      {"name", report.name},
      {"host", or_null(report.host)},
      {"boot_id", or_null(report.boot_id)},
      {"command", object({{"argv", core::redact_args(report.argv, shown)},
                          {"cwd", or_null(report.cwd)},
                          {"executable", or_null(report.executable)}})},
      {"origin", origin_value(report.origin, core::redact_args(report.origin.argv, shown))},
      {"started_at", core::rfc3339(report.started_at)},
      {"ended_at", core::rfc3339(report.ended_at)},
      {"duration_ms", report.duration.count()},
      {"result", name_of(report.result)},
      {"exit", report.exit ? to_value(*report.exit) : Json(nullptr)},
      {"exit_code", report.exit_code},
      {"main", report.main ? to_value(*report.main) : Json(nullptr)},
      {"stop", report.stop ? to_value(*report.stop, shown) : Json(nullptr)},
      {"tree", tree_value(report, shown)},
      {"containment", object({{"mode", report.cgroup ? "cgroup" : "subreaper"},
                              {"guard", report.guard},
                              {"why", or_null(report.containment_why)},
                              {"cgroup", report.cgroup ? to_value(*report.cgroup) : Json(nullptr)}})},
      {"workdir", report.workdir ? to_value(*report.workdir) : Json(nullptr)},
      {"loop", object({{"max_stall_us", report.loop.max_stall_us}, {"wakeups", report.loop.wakeups}})},
      {"output", report.output ? to_value(*report.output) : Json(nullptr)},
      {"warnings", report.warnings},
  });
  return one_line(json);
}

}  // namespace reapctl::report
