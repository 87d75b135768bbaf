#include "core/format.hpp"
#include "report/list_report.hpp"
#include "report/printable.hpp"
#include "report/process_lines.hpp"
#include "report/table.hpp"

#include <algorithm>
#include <set>

namespace reapctl::report {
namespace {

std::string ports_of_run(const core::ListedRun& run) {
  std::set<int> ports;
  for (const core::ProcessDetails& process : run.processes) {
    for (const int port : ports_of(process.listening)) ports.insert(port);
  }
  return ports_cell({ports.begin(), ports.end()});
}

std::int64_t memory_of(const core::ListedRun& run) {
  std::int64_t bytes = 0;
  for (const core::ProcessDetails& process : run.processes) bytes += process.rss_bytes;
  return bytes;
}

std::string origin_of(const core::ListedRun& run) {
  if (!run.record || !run.record->origin) return "-";
  const core::Origin& origin = *run.record->origin;
  for (const std::string* word : {&origin.ci, &origin.unit, &origin.tty, &origin.comm}) {
    if (!word->empty()) return printable(*word);
  }
  return "-";
}

std::string command_of(const core::ListedRun& run) {
  if (!run.record) return "(" + printable(run.problem) + ")";
  return process_label({.argv = run.record->argv}, core::ArgsShown::redacted);
}

}  // namespace

std::string list_text(const core::RunList& list) {
  std::vector<std::vector<std::string>> rows = {
      {"RUN", "NAME", "USER", "STATE", "AGE", "PROCS", "MEM", "PORTS", "ORIGIN", "COMMAND"}};
  std::size_t left_behind = 0;
  for (const core::ListedRun& run : list.runs) {
    left_behind += run.is_left_behind() ? 1U : 0U;
    rows.push_back({run.run_id, run.record ? printable(run.record->name) : "-", printable(run.user),
                    std::string(core::name_of(run.verdict)), run.age ? core::human_duration(*run.age) : "-",
                    std::to_string(run.processes.size()), core::human_bytes(memory_of(run)), ports_of_run(run),
                    origin_of(run), command_of(run)});
  }
  std::vector<std::string> lines;
  if (list.runs.empty()) {
    lines.emplace_back("No runs.");
  } else {
    lines = table_lines(rows, "", {5, 6});
  }
  if (left_behind > 0) {
    lines.push_back(std::to_string(left_behind) + (left_behind == 1 ? " is" : " are") +
                    " left behind by a dead reapctl: reapctl sweep -n shows what would go, reapctl sweep does it");
  }
  for (const std::string& warning : list.warnings) lines.push_back("warning: " + printable(warning));
  return joined(lines, "\n");
}

std::string show_text(const core::ListedRun& run) {
  std::vector<std::string> lines;
  lines.push_back(run.run_id + (run.record ? " " + printable(run.record->name) : "") + ": " +
                  std::string(core::name_of(run.verdict)));
  if (!run.record) {
    lines.push_back("  " + printable(run.problem));
    return joined(lines, "\n");
  }
  const core::RunRecord& record = *run.record;
  lines.push_back("  command   " + process_label({.argv = record.argv}, core::ArgsShown::redacted));
  std::string started = "  started   " + core::rfc3339(record.started_at);
  if (run.age) started += ", " + core::human_duration(*run.age) + " ago";
  started += " by " + printable(run.user);
  if (record.origin) {
    const core::Origin& origin = *record.origin;
    started += " from " + std::to_string(origin.ppid) + " " + printable(origin.comm);
    for (const std::string* word : {&origin.tty, &origin.unit, &origin.ci}) {
      if (!word->empty()) started += ", " + printable(*word);
    }
  }
  lines.push_back(std::move(started));
  std::string reapctl = "  reapctl   ";
  if (record.guard) reapctl += std::to_string(record.guard->pid) + ", ";
  lines.push_back(reapctl + std::to_string(record.supervisor.pid) + ", stops by " + core::ladder_text(record.ladder));
  if (record.cgroup) lines.push_back("  cgroup    " + printable(record.cgroup->path));
  if (record.workdir) lines.push_back("  workdir   " + printable(record.workdir->path));
  if (!record.lock_name.empty()) lines.push_back("  lock      " + printable(record.lock_name));
  if (!record.enclosing.empty()) lines.push_back("  inside    " + joined(record.enclosing, ", "));
  if (run.is_left_behind()) lines.push_back("  clean up  reapctl sweep " + run.run_id);
  lines.push_back("  " + std::to_string(run.processes.size()) +
                  (run.processes.size() == 1 ? " process, " : " processes, ") + core::human_bytes(memory_of(run)));
  for (const std::string& line : process_lines(run.processes, core::ArgsShown::redacted)) lines.push_back(line);
  return joined(lines, "\n");
}

}  // namespace reapctl::report
