#include "cli/commands.hpp"
#include "cli/messages.hpp"
#include "cli/print.hpp"
#include "cli/progress.hpp"
#include "cli/runs.hpp"
#include "cli/sweep_plan.hpp"
#include "core/exit_status.hpp"
#include "engine/as_user.hpp"
#include "engine/registry.hpp"
#include "engine/run_cases.hpp"
#include "engine/sweeper.hpp"
#include "report/record_json.hpp"
#include "report/sweep_json.hpp"
#include "report/sweep_text.hpp"

#include <algorithm>
#include <cstdlib>
#include <fcntl.h>
#include <iostream>
#include <iterator>
#include <map>
#include <set>
#include <unistd.h>
#include <utility>

namespace reapctl::cli {
namespace {

int refuse(const std::string& why) {
  say_error("sweep: " + why);
  return core::kExitFailure;
}

/// A child may take twice what the plan allows, for killing and for deleting, and a moment more.
constexpr core::Millis kChildMargin{8000};

template <class T>
void append(std::vector<T>& to, std::vector<T>& from) {
  std::move(from.begin(), from.end(), std::back_inserter(to));
}

void merge(core::SweepReport& all, core::SweepReport part) {
  append(all.runs, part.runs);
  append(all.victims, part.victims);
  append(all.unknown, part.unknown);
  append(all.survivors, part.survivors);
  append(all.removed, part.removed);
  append(all.skipped, part.skipped);
  append(all.warnings, part.warnings);
  all.runs_examined += part.runs_examined;
  all.runs_active += part.runs_active;
  all.runs_orphaned += part.runs_orphaned;
  all.processes_examined = std::max(all.processes_examined, part.processes_examined);
  if (part.exit_code == core::kExitNotGone || all.exit_code == 0) all.exit_code = part.exit_code;
}

/// Where there may be runs that could not be looked at, not everything is swept.
void say_incomplete(core::SweepReport& report, const std::vector<std::string>& refused) {
  report.warnings.insert(report.warnings.end(), refused.begin(), refused.end());
  if (!refused.empty()) report.exit_code = core::kExitNotGone;
}

/// Everything with the rights of this process.
core::SweepReport sweep_these(const core::SweepPlan& plan, std::vector<engine::Registry> registries) {
  ProgressLine line;
  const engine::Sweeper::Progress progress = [&](std::string_view text) { line.show(text); };
  return engine::Sweeper(plan, report::record_codec(), progress).run(std::move(registries));
}

/// Everything that is done for another user is done in a child that has become that user.
std::vector<sys::Result<std::string>> sweep_for_others(const core::SweepPlan& plan,
                                                       std::vector<std::string>& warnings) {
  std::map<uid_t, std::vector<std::string>> theirs;
  for (const engine::Registry& registry : engine::Registry::open_of_all_users({}, warnings)) {
    if (registry.owner() != ::geteuid()) theirs[registry.owner()].push_back(registry.path());
  }
  std::vector<engine::UserTask> tasks;
  for (const auto& [uid, paths] : theirs) {
    const auto work = [&plan, &paths = paths] {
      std::vector<engine::Registry> registries;
      std::vector<std::string> refused;
      for (const std::string& path : paths) {
        auto opened = engine::Registry::open_existing({.chosen = path}, refused);
        if (opened) {
          append(registries, *opened);
        } else {
          refused.push_back("cannot " + opened.error().message());
        }
      }
      core::SweepReport part = sweep_these(plan, std::move(registries));
      say_incomplete(part, refused);
      return report::to_json(part);
    };
    tasks.push_back({.uid = uid, .work = work});
  }
  return engine::do_as_users(tasks, 2 * plan.stop_timeout + kChildMargin);
}

void merge_others(core::SweepReport& report, const std::vector<sys::Result<std::string>>& results) {
  for (const auto& result : results) {
    auto part = result ? report::sweep_report_of(*result) : sys::Result<core::SweepReport>(result.error());
    if (part) {
      merge(report, part.take());
    } else {
      report.warnings.push_back("not swept: " + part.error().message());
      report.exit_code = core::kExitNotGone;
    }
  }
}

/// Root is told of orphaned runs of other users, which it has not asked to sweep.
void mention_others(core::SweepReport& report) {
  std::vector<std::string> ignored;
  auto registries = engine::Registry::open_of_all_users({}, ignored);
  std::erase_if(registries, [](const engine::Registry& registry) { return registry.owner() == ::geteuid(); });
  const auto others = engine::read_cases(proc::ProcFs(), std::move(registries), report::record_codec());
  std::map<uid_t, int> orphaned;
  for (const engine::RunCase& run : others.cases) {
    if (run.verdict == core::Verdict::orphaned) ++orphaned[run.entry.owner];
  }
  for (const auto& [uid, count] : orphaned) {
    const std::string user = engine::name_of_user(uid);
    report.skipped.push_back({.run_id = {},
                              .name = {},
                              .user = user,
                              .verdict = "orphaned",
                              .reason = std::to_string(count) + " orphaned " + (count == 1 ? "run" : "runs") +
                                        " of user " + user + " (add --all-users)"});
  }
}

/// Whole ids in the place of the beginnings of such. Throws BadOption: ambiguous, or none of the runs to be swept.
void resolve_runs(core::SweepPlan& plan) {
  if (plan.runs.empty()) return;
  std::vector<std::string> ignored;
  std::vector<engine::Registry> registries;
  if (plan.all_users) {
    registries = engine::Registry::open_of_all_users({}, ignored);
  } else {
    auto own = engine::Registry::open_existing({.chosen = plan.registry}, ignored);
    if (!own) throw BadOption{"cannot " + own.error().message()};
    registries = own.take();
  }
  std::vector<RunOnOffer> runs;
  for (const engine::Registry& registry : registries) {
    const auto ids = registry.run_ids();
    if (!ids) continue;
    for (const std::string& id : *ids) runs.push_back({.id = id, .own = registry.owner() == ::geteuid()});
  }
  for (std::string& run : plan.runs) {
    const auto found = find_run(runs, run);
    if (!found) throw BadOption{"no run \"" + run + "\" on record"};
    run = runs[*found].id;
  }
}

sys::Result<core::SweepReport> sweep(const core::SweepPlan& plan) {
  std::vector<std::string> refused;
  auto registries = engine::Registry::open_existing({.chosen = plan.registry}, refused);
  if (!registries) return registries.error();
  std::vector<std::string> warnings;
  // First, for it forks: a deletion of our own that hangs would leave a thread behind.
  std::vector<sys::Result<std::string>> others;
  if (plan.all_users) others = sweep_for_others(plan, warnings);
  core::SweepReport report = sweep_these(plan, registries.take());
  std::erase_if(warnings, [&](const std::string& warning) {
    return std::find(refused.begin(), refused.end(), warning) != refused.end();
  });
  append(report.warnings, warnings);
  say_incomplete(report, refused);
  if (plan.all_users) {
    merge_others(report, others);
  } else if (::geteuid() == 0 && plan.registry.empty() && !plan.match.any()) {
    mention_others(report);
  }
  return report;
}

/// Asks on the terminal; nullopt when there is nobody to ask.
std::optional<bool> ask(const std::string& question) {
  if (::isatty(STDIN_FILENO) == 0 || ::isatty(STDERR_FILENO) == 0) return std::nullopt;
  std::cerr << question << std::flush;
  std::string answer;
  std::getline(std::cin, answer);
  return answer == "y" || answer == "yes";
}

/// What the --match options found has to be looked at by somebody before it is killed, and nobody else is killed then.
std::optional<int> confirm(core::SweepPlan& plan) {
  core::SweepPlan show = plan;
  show.dry_run = true;
  const auto report = sweep(show);
  if (!report) return refuse("cannot " + report.error().message());
  plan.agreed.emplace();
  if (report->victims.empty()) return std::nullopt;
  say_as_it_is("sweep: the plan:\n" + report::to_text(*report));
  const auto answer = ask("Kill them? [y/N] ");
  if (!answer) return refuse("nobody can be asked: give -y to kill what the --match options find, or -n to see it");
  if (!*answer) return refuse("nothing was done");
  for (const core::SweptProcess& victim : report->victims) {
    const core::ProcessId id{.pid = victim.process.pid, .start_ticks = victim.process.start_ticks};
    plan.agreed->emplace(id, victim.identified_by);
  }
  return std::nullopt;
}

std::string render(const core::SweepReport& report, core::SweepFormat format) {
  switch (format) {
    case core::SweepFormat::json: return report::to_json(report);
    case core::SweepFormat::github: return report::to_github_warning(report);
    case core::SweepFormat::text: break;
  }
  return report::to_text(report);
}

/// A regular file, by what GitHub says; a FIFO that nobody reads is not waited for. A dry run changes nothing, not even
/// this.
void add_step_summary(const core::SweepReport& report) {
  const char* path = std::getenv("GITHUB_STEP_SUMMARY");
  if (path == nullptr || *path == '\0') return;
  const sys::UniqueFd file(::open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY | O_NONBLOCK | O_CLOEXEC, 0666));
  const std::string text = report::to_github_summary(report);
  if (!file.valid() || ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    say("sweep: cannot " + sys::last_error("write", path).message() + ", ignoring");
  }
}

}  // namespace

int sweep_command(const Invocation& invocation) {
  restore_caller_signals(invocation);
  core::SweepPlan plan = make_sweep_plan(invocation.given, invocation.operands);
  if (!proc::ProcFs::is_usable()) return refuse("/proc is missing or belongs to another PID namespace");
  resolve_runs(plan);
  if (plan.match.any() && !plan.confirmed && !plan.dry_run) {
    if (const auto status = confirm(plan)) return *status;
  }
  const auto report = sweep(plan);
  if (!report) return refuse("cannot " + report.error().message());
  const std::string text = render(*report, plan.format);
  if (plan.format == core::SweepFormat::github && !plan.dry_run && !text.empty()) add_step_summary(*report);
  if (!text.empty() && !print(text)) return refuse("cannot write to standard output");
  return report->exit_code;
}

}  // namespace reapctl::cli
