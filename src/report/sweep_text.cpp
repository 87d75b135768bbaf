#include "report/sweep_text.hpp"

#include "core/format.hpp"
#include "report/printable.hpp"
#include "report/process_lines.hpp"
#include "report/table.hpp"

#include <algorithm>
#include <map>
#include <vector>

namespace reapctl::report {
namespace {

using Lines = std::vector<std::string>;

std::string plural(std::size_t count, const char* one, const char* many) {
  return std::to_string(count) + " " + (count == 1 ? one : many);
}

std::string with_commas(std::int64_t number) {
  std::string text = std::to_string(number);
  for (auto at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > 0; at -= 3) {
    text.insert(static_cast<std::size_t>(at), ",");
  }
  return text;
}

std::string run_label(const std::string& id, const std::string& name) {
  return short_id(id) + (name.empty() ? "" : " " + printable(name));
}

std::string why_cell(const core::SweptProcess& swept) {
  if (!swept.reason.empty()) return printable(swept.reason);
  if (swept.identified_by.size() == 1 && swept.identified_by.front() == "descendant") {
    return "child of " + std::to_string(swept.process.ppid);
  }
  std::vector<std::string> others = swept.identified_by;
  std::erase(others, "descendant");
  return joined(others, ", ");
}

std::string end_cell(const core::SweptProcess& swept) {
  if (!swept.after) return "alive";
  const std::string what = swept.died_of.empty() ? "by itself" : swept.died_of;
  const auto tenths = swept.after->count() / 100;
  return what + " " + std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + "s";
}

void add_processes(Lines& lines, const std::vector<const core::SweptProcess*>& list, bool with_end, bool heading) {
  std::vector<std::vector<std::string>> rows;
  if (heading) rows.push_back({"PID", "USER", "AGE", "MEM", "PORTS", "WHY"});
  if (heading && with_end) rows.back().emplace_back("ENDED");
  if (heading) rows.back().emplace_back("COMMAND");
  for (const core::SweptProcess* swept : list) {
    const core::ProcessDetails& process = swept->process;
    std::vector<std::string> row = {std::to_string(process.pid),
                                    swept->user.empty() ? "?" : printable(swept->user),
                                    core::human_duration(core::Millis(process.age_ms)),
                                    core::human_bytes(process.rss_bytes),
                                    ports_cell(ports_of(process.listening)),
                                    why_cell(*swept)};
    if (with_end) row.push_back(end_cell(*swept));
    row.push_back(process_label(process, core::ArgsShown::redacted));
    rows.push_back(std::move(row));
  }
  const Lines table = table_lines(rows, "  ", {3});
  lines.insert(lines.end(), table.begin(), table.end());
}

std::vector<const core::SweptProcess*> of_run(const std::vector<core::SweptProcess>& list, const std::string& id) {
  std::vector<const core::SweptProcess*> found;
  for (const core::SweptProcess& swept : list) {
    if (swept.run_id == id) found.push_back(&swept);
  }
  return found;
}

std::string size_text(std::int64_t files, std::int64_t bytes) {
  return "(" + with_commas(files) + (files == 1 ? " file, " : " files, ") + core::human_bytes(bytes) + ")";
}

std::string run_heading(const core::SweptRun& run, core::WallTime now) {
  std::string line = run_label(run.run_id, run.name) + ": ";
  if (run.verdict == core::Verdict::active) return line + (run.clean ? "active, stopped" : "active, " + run.reason);
  if (run.verdict == core::Verdict::gone) {
    line += "of an earlier boot";
  } else {
    std::vector<std::string> pids;
    for (const pid_t pid : run.reapctl_pids) pids.push_back(std::to_string(pid));
    line += "its reapctl (" + joined(pids, ", ") + ") is dead";
  }
  if (run.started_at) {
    line += "; started " + core::human_duration(core::to_millis(now - *run.started_at)) + " ago";
  }
  if (!run.user.empty()) line += " by " + printable(run.user);
  if (run.origin && !run.origin->unit.empty()) line += ", " + printable(run.origin->unit);
  if (run.origin && !run.origin->ci.empty()) line += ", " + printable(run.origin->ci);
  return line;
}

void add_run(Lines& lines, const core::SweepReport& report, const core::SweptRun& run) {
  lines.emplace_back();
  lines.push_back(run_heading(run, report.started_at));
  const auto victims = of_run(report.victims, run.run_id);
  if (!victims.empty()) add_processes(lines, victims, !report.dry_run, true);
  std::vector<std::string> then;
  if (!run.cgroup.empty()) then.push_back("remove the cgroup " + printable(run.cgroup));
  if (!run.workdir.empty()) {
    then.push_back("remove " + printable(run.workdir) + " " + size_text(run.workdir_files, run.workdir_bytes));
  }
  for (const std::string& path : run.remove) then.push_back("remove " + printable(path));
  if (report.dry_run) {
    if (!run.lock_name.empty()) then.push_back("lock \"" + printable(run.lock_name) + "\" becomes free");
    if (!then.empty()) lines.push_back("  then " + joined(then, "; "));
  } else {
    for (const core::RemovedItem& item : report.removed) {
      if (item.run_id != run.run_id || item.kind == "record") continue;
      lines.push_back("  removed " + printable(item.path) +
                      (item.kind == "workdir" ? " " + size_text(item.files, item.bytes) : ""));
    }
    if (run.clean && !run.lock_name.empty()) lines.push_back("  lock \"" + printable(run.lock_name) + "\" is free");
  }
  if (!run.reason.empty() && run.verdict != core::Verdict::active) {
    lines.push_back("  stays on record: " + printable(run.reason));
  }
}

std::string headline(const core::SweepReport& report) {
  std::int64_t bytes = 0;
  std::size_t counted = 0;
  for (const core::SweptProcess& victim : report.victims) {
    if (!report.dry_run && !victim.after) continue;
    bytes += victim.process.rss_bytes;
    ++counted;
  }
  std::size_t runs = 0;
  for (const core::SweptRun& run : report.runs) runs += run.verdict == core::Verdict::active ? 0U : 1U;
  const std::size_t active = report.runs.size() - runs;
  if (report.victims.empty() && report.runs.empty() && report.removed.empty()) {
    return report.unknown.empty() ? "Nothing to sweep." : "Nothing that is known for sure to be swept.";
  }
  std::string line = report.dry_run ? "Would kill " : "Killed ";
  line += plural(counted, "process", "processes");
  if (counted > 0) line += " (" + core::human_bytes(bytes) + ")";
  if (runs > 0) line += " of " + plural(runs, "orphaned run", "orphaned runs");
  line += ".";
  if (active > 0 && report.dry_run) line += " Would stop " + plural(active, "active run", "active runs") + ".";
  if (report.dry_run) return line + " Nothing was changed.";
  return line;
}

std::string excluded(const core::SweepReport& report) {
  std::map<std::string, std::vector<std::string>> runs_of_reason;
  for (const core::SkippedItem& item : report.skipped) {
    if (!item.run_id.empty()) runs_of_reason[item.reason].push_back(run_label(item.run_id, item.name));
  }
  std::vector<std::string> parts;
  for (auto& [reason, runs] : runs_of_reason) {
    constexpr std::size_t kShown = 8;
    const std::size_t count = runs.size();
    if (count > kShown) runs.resize(kShown);
    parts.push_back(
        plural(count, reason == "active" ? "active run" : "run", reason == "active" ? "active runs" : "runs") + " (" +
        joined(runs, ", ") + (count > kShown ? ", …" : "") + ")" + (reason == "active" ? "" : " " + printable(reason)));
  }
  for (const core::SkippedItem& item : report.skipped) {
    if (item.run_id.empty()) parts.push_back(printable(item.reason));
  }
  return joined(parts, "; ");
}

std::vector<const core::SweptProcess*> pointers(const std::vector<core::SweptProcess>& list) {
  std::vector<const core::SweptProcess*> all;
  all.reserve(list.size());
  for (const core::SweptProcess& swept : list) all.push_back(&swept);
  return all;
}

bool worth_a_warning(const core::SweepReport& report) {
  return !report.victims.empty() || !report.runs.empty() || !report.unknown.empty() || !report.survivors.empty();
}

/// Whole lines, at most `most` bytes of them; GitHub drops what is longer than it takes.
std::string beginning_of(const std::string& text, std::size_t most) {
  if (text.size() <= most) return text;
  const std::size_t end = text.rfind('\n', most);
  return text.substr(0, end == std::string::npos ? most : end) + "\n… and more";
}

/// An annotation has at most 64 kB, a summary 1 MB a step. Source: GitHub's REST API for check runs, and "Workflow
/// commands for GitHub Actions".
constexpr std::size_t kAnnotationSize = 32'000;
constexpr std::size_t kSummarySize = 900'000;

std::string escaped_for_workflow(const std::string& text) {
  std::string escaped;
  for (const char byte : text) {
    switch (byte) {
      case '%': escaped += "%25"; break;
      case '\r': escaped += "%0D"; break;
      case '\n': escaped += "%0A"; break;
      default: escaped += byte;
    }
  }
  return escaped;
}

std::string escaped_for_html(const std::string& text) {
  std::string escaped;
  for (const char byte : text) {
    switch (byte) {
      case '&': escaped += "&amp;"; break;
      case '<': escaped += "&lt;"; break;
      case '>': escaped += "&gt;"; break;
      default: escaped += byte;
    }
  }
  return escaped;
}

}  // namespace

std::string to_text(const core::SweepReport& report) {
  Lines lines = {headline(report)};
  for (const core::SweptRun& run : report.runs) add_run(lines, report, run);
  if (const auto matched = of_run(report.victims, ""); !matched.empty()) {
    lines.emplace_back();
    lines.emplace_back("Not started by reapctl:");
    add_processes(lines, matched, !report.dry_run, true);
  }
  if (!report.survivors.empty()) {
    lines.emplace_back();
    lines.push_back("SURVIVED (" + std::to_string(report.survivors.size()) + ")");
    add_processes(lines, pointers(report.survivors), false, false);
  }
  if (!report.unknown.empty()) {
    lines.emplace_back();
    lines.push_back("UNKNOWN, not touched (" + std::to_string(report.unknown.size()) + ")");
    add_processes(lines, pointers(report.unknown), false, false);
  }
  const std::string others = excluded(report);
  if (!others.empty()) lines.push_back("EXCLUDED  " + others);
  for (const std::string& warning : report.warnings) lines.push_back("WARNING  " + printable(warning));
  return joined(lines, "\n");
}

std::string to_github_warning(const core::SweepReport& report) {
  if (!worth_a_warning(report)) return {};
  return "::warning title=reapctl sweep::" + escaped_for_workflow(beginning_of(to_text(report), kAnnotationSize));
}

std::string to_github_summary(const core::SweepReport& report) {
  return "### reapctl sweep\n\n<pre>\n" + beginning_of(escaped_for_html(to_text(report)), kSummarySize) + "\n</pre>\n";
}

}  // namespace reapctl::report
