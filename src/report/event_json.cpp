#include "core/format.hpp"
#include "core/redact.hpp"
#include "report/json.hpp"
#include "report/json_value.hpp"
#include "report/names.hpp"

namespace reapctl::report {
namespace {

/// Appends the name and the facts of one kind of event to the line.
struct Writer {
  Json& line;
  core::ArgsShown shown;

  void operator()(const core::StartedEvent& event) const {
    line["event"] = "started";
    line["pid"] = event.pid;
    line["argv"] = core::redact_args(event.argv, shown);
  }
  void operator()(const core::SignalEvent& event) const {
    line["event"] = "signal";
    line["signal_name"] = core::signal_name(event.signal);
    line["sender_pid"] = or_null(event.sender_pid);
    line["action"] = name_of(event.action);
  }
  void operator()(const core::RungEvent& event) const {
    line["event"] = "rung";
    line["signal_name"] = event.signal_name;
    line["told"] = event.told;
  }
  void operator()(const core::AdoptedEvent& event) const {
    line["event"] = "adopted";
    line["pid"] = event.pid;
    line["comm"] = or_null(event.comm);
  }
  void operator()(const core::ExitedEvent& event) const {
    line["event"] = "exited";
    line["pid"] = event.pid;
    line["main"] = event.main;
    line["code"] = or_null(event.code);
    line["signal_name"] = signal_name_or_null(event.signal);
  }
  void operator()(const core::LeftEvent& event) const {
    line["event"] = "left";
    line["count"] = event.count;
  }
  void operator()(const core::WorkdirEvent& event) const {
    line["event"] = "workdir";
    line["files"] = event.files;
    line["bytes"] = event.bytes;
    line["duration_ms"] = event.duration.count();
  }
  void operator()(const core::EndedEvent& event) const {
    line["event"] = "ended";
    line["result"] = name_of(event.result);
    line["exit_code"] = event.exit_code;
  }
};

}  // namespace

std::string to_json(const core::Event& event, core::ArgsShown shown) {
  Json line = {{"at", core::rfc3339(event.at)}};
  std::visit(Writer{.line = line, .shown = shown}, event.what);
  return one_line(line);
}

}  // namespace reapctl::report
