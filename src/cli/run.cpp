#include "cli/commands.hpp"
#include "cli/messages.hpp"
#include "cli/progress.hpp"
#include "cli/run_plan.hpp"
#include "core/exit_status.hpp"
#include "engine/delivery.hpp"
#include "engine/held_output.hpp"
#include "engine/output.hpp"
#include "engine/run_facts.hpp"
#include "engine/runner.hpp"
#include "report/json.hpp"
#include "report/record_json.hpp"
#include "report/text.hpp"
#include "sys/signals.hpp"

#include <functional>
#include <optional>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

namespace reapctl::cli {
namespace {

int refuse(const std::string& why) {
  say_error("run: " + why);
  return core::kExitFailure;
}

std::string render(const core::RunReport& report, const core::RunPlan& plan) {
  return plan.report_format == core::ReportFormat::text ? report::to_text(report, plan.report_args)
                                                        : report::to_json(report, plan.report_args);
}

bool goes_to_stderr(const core::RunPlan& plan) {
  return plan.report.kind == core::OutputTarget::Kind::descriptor && plan.report.descriptor == 2;
}

/// The report goes where it was asked to go, or else to stderr; `amended` gives it once more, with the reason.
void send(engine::Delivery& delivery, const core::RunPlan& plan, const engine::GiveUp& give_up,
          const std::function<std::string(const std::string& why)>& amended) {
  const auto sent = delivery.send_report(give_up);
  if (!sent && !delivery.is_diverted() && !goes_to_stderr(plan)) {
    delivery.divert(amended("--report: cannot " + sent.error().message() + "; so the report is here"));
    (void)delivery.send_report(give_up);  // nowhere is left to complain to
  }
  delivery.send_rest(give_up);
}

/// A report that would go where the held output goes is held back with it.
bool is_held_back(const core::RunPlan& plan) {
  return plan.quiet_on_success && plan.report.kind != core::OutputTarget::Kind::file && plan.report.descriptor <= 2;
}

/// A command that could not be started says nothing itself. A report for people on stderr already says it.
void explain_no_start(const core::RunReport& report, const core::RunPlan& plan) {
  if (plan.quiet_on_success) return;
  if (plan.report.descriptor == 2 && plan.report_format == core::ReportFormat::text) return;
  if (report.result == core::RunResult::overlap && plan.report.kind != core::OutputTarget::Kind::none) {
    say("run: " + report.warnings.back());
  }
  if (!report.exit || report.exit->kind != core::ExitKind::not_started) return;
  const sys::Error why{.code = report.exit->failed_errno, .operation = report.exit->failed_stage, .subject = {}};
  say_error("run: \"" + report.argv.front() + "\" was not started: " + why.message());
}

void warn_of_lost_events(const engine::EventOutput& events, std::vector<std::string>& warnings) {
  if (events.dropped() > 0) {
    warnings.push_back("--events: " + std::to_string(events.dropped()) +
                       " events were dropped, nobody read them in time");
  }
  if (events.failed() > 0) {
    const sys::Error why{.code = events.failure(), .operation = "write", .subject = {}};
    warnings.push_back("--events: " + std::to_string(events.failed()) + " events are lost: cannot " + why.message());
  }
}

/// Where the run, and its command, say something.
struct Outputs {
  engine::ReportOutput report;
  engine::EventOutput events;
  std::optional<engine::HeldOutput> held;  ///< with --quiet-on-success
};

/// Error, in words: the option, and why its place cannot be had.
sys::Result<Outputs> open_outputs(const core::RunPlan& plan) {
  const auto cannot = [](const char* option, const sys::Error& why) {
    return sys::Error{.code = 0, .operation = std::string(option) + ": cannot " + why.message(), .subject = {}};
  };
  Outputs outputs;
  auto report = engine::ReportOutput::open(is_held_back(plan) ? core::OutputTarget{} : plan.report);
  if (!report) return cannot("--report", report.error());
  outputs.report = report.take();
  auto events = engine::EventOutput::open(plan.events);
  if (!events) return cannot("--events", events.error());
  outputs.events = events.take();
  if (!plan.quiet_on_success) return outputs;
  auto held = engine::HeldOutput::open();
  if (!held) return cannot("--quiet-on-success", held.error());
  outputs.held.emplace(held.take());
  return outputs;
}

/// What is said when the run is over. With --quiet-on-success nothing, or all of it: what happened, then the output.
/// The summary is for people and goes to stderr, whatever else the report is wanted for.
void deliver(const core::RunPlan& plan, const Outputs& outputs, core::RunReport& report, const engine::GiveUp& give_up,
             engine::SharedReport* shared) {
  warn_of_lost_events(outputs.events, report.warnings);
  explain_no_start(report, plan);
  if (!outputs.held && !outputs.report.wanted()) {
    for (const std::string& warning : report.warnings) say(warning);
    return;
  }
  const bool show = outputs.held && core::has_failed(report);
  engine::Delivery delivery(outputs.report, outputs.held ? &*outputs.held : nullptr, shared);
  delivery.set(outputs.report.wanted() ? render(report, plan) : "",
               show ? report::to_text(report, plan.report_args) : "");
  send(delivery, plan, give_up, [&](const std::string& why) {
    report.warnings.push_back(why);
    return render(report, plan);
  });
}

}  // namespace

int run_command(const Invocation& invocation) {
  if (invocation.operands.empty()) return refuse("no command given: reapctl run [OPTIONS] [--] COMMAND [ARG...]");
  const auto plan = make_run_plan(invocation.given, invocation.operands);
  if (!plan) return refuse(plan.error().message());
  auto outputs = open_outputs(*plan);
  if (!outputs) return refuse(outputs.error().message());

  const bool verbose = invocation.given.has("verbose");
  engine::RunObserver observer;
  ProgressLine progress;
  observer.removal_progress = [&](std::string_view line) { progress.show(line); };
  if (outputs->events.wanted() || verbose) {
    observer.event = [&](const core::Event& event) {
      const std::string line = report::to_json(event, plan->report_args);
      if (outputs->events.wanted()) outputs->events.write(line);
      if (!verbose) return;
      progress.show("");
      say_as_it_is(line);
    };
  }
  observer.interrupt_hint = [] { say("once more to stop everything"); };
  const engine::HeldOutput* const held = outputs->held ? &*outputs->held : nullptr;
  engine::RunSetting setting{.caller_signals = invocation.caller_signals,
                             .run_id = engine::new_run_id(),
                             .record_codec = &report::record_codec(),
                             .held = held,
                             .keep_open = {outputs->report.descriptor(), outputs->events.descriptor()}};
  if (held != nullptr) {
    const std::vector<int> also = held->descriptors();
    setting.keep_open.insert(setting.keep_open.end(), also.begin(), also.end());
  }
  setting.deliver = [&](core::RunReport& report, const engine::GiveUp& give_up, engine::SharedReport* shared) {
    if (observer.event) {
      observer.event(
          {.at = report.ended_at, .what = core::EndedEvent{.result = report.result, .exit_code = report.exit_code}});
    }
    deliver(*plan, *outputs, report, give_up, shared);
  };
  setting.resume_delivery = [&](engine::SharedReport& shared, const engine::GiveUp& give_up) {
    engine::Delivery delivery(outputs->report, held, &shared);
    send(delivery, *plan, give_up, [&](const std::string& why) {
      say(why);
      return std::string(delivery.report());
    });
  };
  const auto outcome = engine::run(*plan, setting, observer);
  if (!outcome) return refuse(outcome.error().message());
  if (outcome->die_of_interrupt) sys::die_of(SIGINT);
  return outcome->exit_code;
}

}  // namespace reapctl::cli
