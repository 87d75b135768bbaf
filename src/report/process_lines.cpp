#include "report/process_lines.hpp"

#include "core/redact.hpp"
#include "report/printable.hpp"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>
#include <string_view>

namespace reapctl::report {
namespace {

constexpr std::size_t kLabelColumns = 48;
constexpr std::size_t kPortsShown = 4;
constexpr std::size_t kDeepest = 10;  // levels of indentation; what is deeper stands below its parent all the same

struct Row {
  std::string pid;
  std::string label;
  std::string state;
  std::string wchan;
  std::string cpu;
};

std::string_view base_name(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos || slash + 1 == path.size() ? path : path.substr(slash + 1);
}

std::string ports_text(const std::vector<std::string>& listening) {
  const std::vector<int> ports = ports_of(listening);
  std::string text;
  for (std::size_t i = 0; i < std::min(ports.size(), kPortsShown); ++i) {
    text.append(i == 0 ? "  :" : " :").append(std::to_string(ports[i]));
  }
  return ports.size() > kPortsShown ? text.append(" …") : text;
}

Row row_of(const core::ProcessDetails& process, std::size_t depth, core::ArgsShown shown) {
  std::string indent;
  if (depth > 0) indent = std::string(2 * (std::min(depth, kDeepest) - 1), ' ').append("└ ");
  Row row{.pid = std::to_string(process.pid),
          .label = indent.append(process_label(process, shown)).append(ports_text(process.listening)),
          .state = {},
          .wchan = printable(process.wchan),
          .cpu = {}};
  if (process.known()) {
    row.state = printable(std::string_view(&process.state, 1));
    if (process.age_ms > 0) row.cpu = "cpu " + std::to_string(process.cpu_ms * 100 / process.age_ms) + "%";
  }
  return row;
}

/// Parents before children. Parents were read one after the other, so that a recycled pid can close a circle: whatever
/// no root leads to is shown at the end, as if it were a root.
class Forest {
 public:
  Forest(const std::vector<core::ProcessDetails>& processes, core::ArgsShown shown) : shown_(shown) {
    std::set<pid_t> pids;
    for (const core::ProcessDetails& process : processes) pids.insert(process.pid);
    for (const core::ProcessDetails& process : processes) {
      if (process.ppid != process.pid) children_[process.ppid].push_back(&process);
    }
    for (const core::ProcessDetails& process : processes) {
      if (!pids.contains(process.ppid)) walk(process);
    }
    for (const core::ProcessDetails& process : processes) walk(process);
  }

  [[nodiscard]] std::vector<Row> take() { return std::move(rows_); }

 private:
  struct Step {
    const core::ProcessDetails* process;
    std::size_t depth;
  };

  void walk(const core::ProcessDetails& root) {
    std::vector<Step> stack = {{.process = &root, .depth = 0}};  // not recursion: a chain may be as long as it likes
    while (!stack.empty()) {
      const Step step = stack.back();
      stack.pop_back();
      if (!seen_.insert(step.process).second) continue;
      rows_.push_back(row_of(*step.process, step.depth, shown_));
      const auto found = children_.find(step.process->pid);
      if (found == children_.end()) continue;
      for (auto child = found->second.rbegin(); child != found->second.rend(); ++child) {
        stack.push_back({.process = *child, .depth = step.depth + 1});
      }
    }
  }

  core::ArgsShown shown_;
  std::map<pid_t, std::vector<const core::ProcessDetails*>> children_;
  std::set<const core::ProcessDetails*> seen_;
  std::vector<Row> rows_;
};

std::string padded(const std::string& text, std::size_t columns) {
  return text + std::string(columns - std::min(columns, width(text)), ' ');
}

std::size_t widest(const std::vector<Row>& rows, std::string Row::*column) {
  std::size_t columns = 0;
  for (const Row& row : rows) columns = std::max(columns, width(row.*column));
  return columns;
}

}  // namespace

std::string process_label(const core::ProcessDetails& process, core::ArgsShown shown) {
  const std::vector<std::string> args = core::redact_args(process.argv, shown);
  if (args.empty()) return shortened(printable(process.comm.empty() ? "?" : process.comm), kLabelColumns);
  // A process that shows a title ("nginx: master process nginx -c /etc/nginx.conf") has it all in the first argument.
  const std::string_view first = args.front();
  const std::size_t end = std::min(first.find(' '), first.size());
  std::string line(base_name(first.substr(0, end)));
  line.append(first.substr(end));
  for (std::size_t i = 1; i < args.size(); ++i) line.append(" ").append(args[i]);
  return shortened(printable(line), kLabelColumns);
}

std::vector<int> ports_of(const std::vector<std::string>& listening) {
  std::set<int> ports;
  for (const std::string& address : listening) {
    const std::size_t colon = address.rfind(':');
    if (colon == std::string::npos) continue;
    int port = 0;
    const char* end = address.data() + address.size();
    const auto [stop, error] = std::from_chars(address.data() + colon + 1, end, port);
    if (error == std::errc() && stop == end) ports.insert(port);
  }
  return {ports.begin(), ports.end()};
}

std::vector<std::string> process_lines(const std::vector<core::ProcessDetails>& processes, core::ArgsShown shown) {
  const std::vector<Row> rows = Forest(processes, shown).take();
  const std::size_t pid_columns = widest(rows, &Row::pid);
  const std::size_t label_columns = widest(rows, &Row::label);
  const std::size_t wchan_columns = widest(rows, &Row::wchan);
  std::vector<std::string> lines;
  for (const Row& row : rows) {
    std::string line = std::string(pid_columns - row.pid.size(), ' ') + row.pid + "  ";
    line += padded(row.label, label_columns) + "   " + padded(row.state, 1);
    if (wchan_columns > 0) line += "  " + padded(row.wchan, wchan_columns);
    line += "   " + row.cpu;
    line.erase(line.find_last_not_of(' ') + 1);
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace reapctl::report
