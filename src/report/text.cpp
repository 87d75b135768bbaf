#include "report/text.hpp"

#include "core/format.hpp"
#include "core/signal_name.hpp"
#include "report/printable.hpp"
#include "report/process_lines.hpp"
#include "report/table.hpp"
#include "sys/result.hpp"

#include <algorithm>
#include <string_view>
#include <vector>

namespace reapctl::report {
namespace {

constexpr std::size_t kNamesShown = 8;  // entries of one kind; the JSON form has more

using Lines = std::vector<std::string>;

std::string signal_or_unknown(const std::optional<int>& signal) {
  return signal ? core::signal_name(*signal) : std::string("an unknown signal");
}

std::string count_of(int count, std::string_view one, std::string_view many) {
  return std::to_string(count).append(" ").append(count == 1 ? one : many);
}

std::string process_name(pid_t pid, std::string_view comm) {
  return std::to_string(pid).append(" ").append(comm.empty() ? "?" : printable(comm));
}

std::string why_not_started(const core::RunReport& report) {
  if (!report.exit || report.exit->failed_stage.empty()) return "was not started";
  const std::string subject = report.argv.empty() ? std::string() : report.argv.front();
  const sys::Error error{
      .code = report.exit->failed_errno, .operation = report.exit->failed_stage, .subject = printable(subject)};
  return "was not started: " + error.message();
}

std::string why_stopped(const core::RunReport& report) {
  if (!report.stop) return "was stopped";
  switch (report.stop->cause) {
    case core::StopCause::signal: {
      std::string text = "was stopped by " + signal_or_unknown(report.stop->signal);
      if (report.stop->sender_pid) text += " from " + std::to_string(*report.stop->sender_pid);
      return text;
    }
    case core::StopCause::die_with: return "was stopped because what it was to die with is gone";
    case core::StopCause::timeout:
    case core::StopCause::leftovers:
    case core::StopCause::guard_death:
    case core::StopCause::supervisor_death: break;
  }
  return "was stopped";
}

std::string outcome(const core::RunReport& report) {
  switch (report.result) {
    case core::RunResult::supervisor_died: return "lost its supervisor and was stopped by the guard";
    case core::RunResult::guard_died: return "lost its guard and was stopped";
    case core::RunResult::not_started: return why_not_started(report);
    case core::RunResult::overlap: return "was not started: another run holds its lock";
    case core::RunResult::timeout: return "timed out";
    case core::RunResult::stopped: return why_stopped(report);
    case core::RunResult::core_dump: return "dumped core on " + signal_or_unknown(report.exit->signal);
    case core::RunResult::signal: return "was killed by " + signal_or_unknown(report.exit->signal);
    case core::RunResult::exit_code: return "failed";
    case core::RunResult::success: return report.exit_code == 0 ? "succeeded" : "exited 0";
  }
  return {};
}

/// The time until what the headline says: the request to stop, the end of the command. Nothing for what never ran.
std::string time_until_outcome(const core::RunReport& report) {
  switch (report.result) {
    case core::RunResult::not_started:
    case core::RunResult::overlap: return {};
    case core::RunResult::supervisor_died:
    case core::RunResult::guard_died:
    case core::RunResult::timeout:
    case core::RunResult::stopped:
      return " after " + core::human_duration(report.stop ? report.stop->after : report.duration);
    case core::RunResult::core_dump:
    case core::RunResult::signal:
    case core::RunResult::exit_code:
    case core::RunResult::success: break;
  }
  return " after " +
         core::human_duration(report.main ? report.main->duration.value_or(report.duration) : report.duration);
}

std::string headline(const core::RunReport& report) {
  return "reapctl: " + printable(report.name) + " (" + printable(short_id(report.run_id)) + ") " + outcome(report) +
         time_until_outcome(report) + ", exit " + std::to_string(report.exit_code);
}

/// The lines beside a heading, the further ones below the first.
void add_block(Lines& lines, std::string_view heading, const Lines& block) {
  for (std::size_t i = 0; i < block.size(); ++i) {
    lines.push_back((i == 0 ? std::string(heading) : std::string(width(heading), ' ')) + block[i]);
  }
}

/// The first lines, at most `limit` of them, and how many more there are. `total` counts what never was in the list.
Lines limited(Lines lines, int total, std::size_t limit = kNamesShown) {
  const std::size_t all = std::max(static_cast<std::size_t>(std::max(total, 0)), lines.size());
  if (lines.size() > limit) lines.resize(limit);
  if (lines.size() < all) lines.push_back("and " + std::to_string(all - lines.size()) + " more");
  return lines;
}

void add_snapshot(Lines& lines, const core::RunReport& report, core::ArgsShown shown) {
  const core::StopReport& stop = *report.stop;
  const Lines block = limited(process_lines(stop.snapshot, shown), report.tree.snapshot_total, core::kListLimit);
  const bool main_had_ended = stop.cause == core::StopCause::leftovers;
  add_block(lines, main_had_ended ? "  left behind:  " : "  when stopped:  ", block);
}

/// "INT   0.0s  3 told, 2 ended", and below the rung that followed, who had not ended on the one before.
void add_rungs(Lines& lines, const core::StopReport& stop) {
  std::size_t name_columns = 0;
  for (const core::RungReport& rung : stop.rungs) name_columns = std::max(name_columns, rung.signal_name.size());
  const core::RungReport* before = nullptr;
  for (const core::RungReport& rung : stop.rungs) {
    std::string at = rung.at < std::chrono::seconds(1) ? "0." + std::to_string(rung.at.count() / 100) + "s"
                                                       : core::human_duration(rung.at);
    std::string heading = "  " + rung.signal_name;
    heading.append(name_columns - rung.signal_name.size(), ' ').append("  ").append(at).append("  ");
    Lines block;
    if (before != nullptr) {
      for (const core::ProcessName& process : before->stayed) {
        block.push_back(process_name(process.pid, process.comm) + " did not end on " + before->signal_name);
      }
      block = limited(std::move(block), before->stayed_total);
    }
    // Names say all there is to say about a rung that ended just those.
    const bool told_by_names = before != nullptr && rung.told == before->stayed_total;
    if (block.empty() || !told_by_names || rung.ended != rung.told) {
      block.push_back(std::to_string(rung.told) + " told, " + std::to_string(rung.ended) + " ended");
    }
    add_block(lines, heading, block);
    before = &rung;
  }
  if (stop.timeout_hit) lines.emplace_back("  the time for stopping was over: what was left was killed at once");
}

/// Descendants that outlived the command and that nobody stopped: with --leftovers wait or leave.
void add_leftovers(Lines& lines, const core::TreeReport& tree, core::ArgsShown shown) {
  Lines block;
  for (const core::Leftover& leftover : tree.leftovers) {
    std::string line = std::to_string(leftover.process.pid) + " " + process_label(leftover.process, shown);
    for (const int port : ports_of(leftover.process.listening)) line += " :" + std::to_string(port);
    line += leftover.after ? ", ended " + core::human_duration(*leftover.after) + " later" : ", not seen to end";
    block.push_back(std::move(line));
  }
  add_block(lines, "  outlived the command:  ", limited(std::move(block), tree.leftovers_total));
}

void add_workdir(Lines& lines, const core::WorkdirReport& workdir) {
  if (workdir.kept) lines.push_back("  kept " + printable(workdir.path));
  Lines block;
  if (!workdir.kept && !workdir.deleted && workdir.errors.empty()) block.push_back(printable(workdir.path));
  for (const core::WorkdirError& error : workdir.errors) {
    block.push_back(printable(core::why_not_deleted(error)));
  }
  add_block(lines, "  not deleted:  ", limited(std::move(block), workdir.errors_total));
}

std::string ports_that_are_free(const core::RunReport& report) {
  const std::vector<int> ports = ports_of(report.tree.freed);
  if (ports.empty()) return {};
  std::string text = ports.size() == 1 ? "; port " : "; ports ";
  for (std::size_t i = 0; i < std::min(ports.size(), kNamesShown); ++i) {
    text.append(i == 0 ? "" : ", ").append(std::to_string(ports[i]));
  }
  if (ports.size() > kNamesShown) text += " and " + std::to_string(ports.size() - kNamesShown) + " more";
  return text + (ports.size() == 1 ? " is free" : " are free");
}

void add_survivors(Lines& lines, const core::TreeReport& tree) {
  Lines block;
  for (const core::Survivor& survivor : tree.survivors) {
    std::string line = process_name(survivor.pid, survivor.comm);
    if (survivor.state != '?') line += ", state " + printable(std::string_view(&survivor.state, 1));
    if (!survivor.wchan.empty()) line += " in " + printable(survivor.wchan);
    if (!survivor.reason.empty()) line += ": " + printable(survivor.reason);
    block.push_back(std::move(line));
  }
  const int total = std::max(tree.survivors_total, static_cast<int>(tree.survivors.size()));
  add_block(lines, "  " + count_of(total, "process survived:  ", "processes survived:  "),
            limited(std::move(block), total));
}

bool has_survivors(const core::TreeReport& tree) {
  return tree.survivors_total > 0 || !tree.survivors.empty();
}

/// Nothing is left if a stop ended everything, or everything that outlived the command was seen to end.
bool says_nothing_left(const core::RunReport& report) {
  if (has_survivors(report.tree)) return false;
  if (report.stop) return true;
  const std::vector<core::Leftover>& leftovers = report.tree.leftovers;
  return !leftovers.empty() && std::all_of(leftovers.begin(), leftovers.end(),
                                           [](const core::Leftover& leftover) { return leftover.after.has_value(); });
}

}  // namespace

std::string to_text(const core::RunReport& report, core::ArgsShown shown) {
  Lines lines = {headline(report)};
  if (report.stop) {
    add_snapshot(lines, report, shown);
    add_rungs(lines, *report.stop);
  } else {
    add_leftovers(lines, report.tree, shown);
  }
  if (report.workdir) add_workdir(lines, *report.workdir);
  for (const std::string& warning : report.warnings) lines.push_back("  warning: " + printable(warning));
  if (has_survivors(report.tree)) add_survivors(lines, report.tree);
  if (says_nothing_left(report)) lines.push_back("  nothing left" + ports_that_are_free(report));
  return joined(lines, "\n");
}

}  // namespace reapctl::report
