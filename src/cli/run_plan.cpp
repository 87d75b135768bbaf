#include "cli/run_plan.hpp"

#include "cli/values.hpp"
#include "core/ladder.hpp"
#include "core/signal_name.hpp"
#include "core/size.hpp"
#include "sys/descriptors.hpp"
#include "sys/directory.hpp"

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>

namespace reapctl::cli {
namespace {

int signal(const Value& value, std::string_view text) {
  const auto parsed = core::parse_signal(text);
  if (!parsed) {
    reject(value, "unknown signal \"" + std::string(text) + "\", expected a name or number such as INT, SIGTERM or 15");
  }
  return *parsed;
}

class PlanMaker {
 public:
  explicit PlanMaker(const GivenOptions& given) : given_(given) {}

  core::RunPlan make(std::vector<std::string> command) {
    plan_.argv = std::move(command);
    name();
    stopping();
    signals();
    ending();
    containment();
    workdir();
    plan_.registry = registry_directory(given_);
    overlap();
    held_and_kept();
    output();
    return std::move(plan_);
  }

 private:
  void exclude(const char* one, const char* other) const {
    if (!given_.has_on_command_line(one) || !given_.has_on_command_line(other)) return;
    const auto text = [this](const char* option) {
      const std::string value = given_.last(option)->text;
      return "--" + std::string(option) + (value.empty() ? "" : " \"" + value + "\"");
    };
    throw BadOption{text(one) + " and " + text(other) + " exclude each other: give only one"};
  }

  void name() {
    const auto slash = plan_.argv.front().find_last_not_of('/');
    const std::string trimmed = plan_.argv.front().substr(0, slash + 1);
    plan_.name = trimmed.substr(trimmed.rfind('/') + 1);
    if (const auto value = given_.last("name")) {
      if (value->text.empty()) reject(*value, "expected a name of at least one character");
      plan_.name = value->text;
    }
  }

  void stopping() {
    if (const auto value = given_.last("timeout"); value && duration(*value) > core::Millis::zero()) {
      plan_.rules.timeout = duration(*value);  // 0 means none: it is a limit
    }
    if (const auto value = given_.last("stop-timeout")) plan_.rules.stop_timeout = duration(*value);
    exclude("ladder", "signal");
    exclude("ladder", "kill-after");
    plan_.rules.ladder = core::default_ladder();
    const auto signal_value = given_.last("signal");
    const auto bound = given_.last("kill-after");
    if (signal_value || bound) {
      short_ladder(signal_value, bound);
    } else if (const auto value = given_.last("ladder")) {
      auto ladder = core::parse_ladder(value->text);
      if (!ladder) reject(*value, ladder.error().operation);
      plan_.rules.ladder = ladder.take();
    }
    if (const auto value = given_.last("scope")) {
      plan_.scope = choice<core::Scope>(
          *value, {{"main", core::Scope::main}, {"group", core::Scope::group}, {"tree", core::Scope::tree}});
    }
  }

  /// -s SIG -k DUR; either may be missing.
  void short_ladder(const std::optional<Value>& signal_value, const std::optional<Value>& bound) {
    core::Ladder& ladder = plan_.rules.ladder;
    if (signal_value) {
      const int number = signal(*signal_value, signal_value->text);
      if (!core::can_stop(number)) {
        reject(*signal_value, core::signal_name(number) + " asks nobody to end and cannot be a rung");
      }
      ladder = number == SIGKILL ? core::Ladder{} : core::Ladder{{.signal = number, .bound = core::kDefaultRungBound}};
    }
    if (bound && !ladder.empty()) ladder.front().bound = duration(*bound);
    if (bound && ladder.empty()) reject(*bound, "has no use with -s KILL, which does not wait");
  }

  void signals() {
    plan_.stop_on = {SIGINT, SIGTERM};
    if (const auto value = given_.last("stop-on")) {
      plan_.stop_on.clear();
      if (value->text != "none") {
        for (const std::string& part : split_at_commas(value->text)) plan_.stop_on.insert(stop_signal(*value, part));
      }
    }
    for (const Value& value : given_.all("map")) {
      const auto colon = value.text.find(':');
      if (colon == std::string::npos) reject(value, "expected SIG:SIG, or SIG:0 to drop it");
      const int from = signal(value, value.text.substr(0, colon));
      const std::string to = value.text.substr(colon + 1);
      refuse_unforwardable(value, from);
      if (plan_.stop_on.contains(from)) {
        reject(value, core::signal_name(from) +
                          " starts the ladder and is not forwarded; use -s to choose what the command gets");
      }
      plan_.signal_map[from] = to == "0" ? 0 : signal(value, to);
    }
    if (const auto value = given_.last("forward-to")) {
      plan_.forward_to =
          choice<core::ForwardTo>(*value, {{"main", core::ForwardTo::main}, {"group", core::ForwardTo::group}});
    }
  }

  static int stop_signal(const Value& value, const std::string& text) {
    const int number = signal(value, text);
    refuse_unforwardable(value, number);
    return number;
  }

  /// Signals that reapctl neither forwards nor takes for a request.
  static void refuse_unforwardable(const Value& value, int number) {
    switch (number) {
      case SIGKILL:
      case SIGSTOP: reject(value, core::signal_name(number) + " cannot be received");
      case SIGCHLD:
      case SIGPIPE:
      case SIGCONT:
      case SIGTSTP:
      case SIGTTIN:
      case SIGTTOU:
        reject(value, core::signal_name(number) + " has a meaning of its own: it is never forwarded and cannot stop");
      default: return;
    }
  }

  void ending() {
    if (const auto value = given_.last("leftovers")) {
      plan_.rules.leftovers = choice<core::Leftovers>(
          *value,
          {{"stop", core::Leftovers::stop}, {"wait", core::Leftovers::wait}, {"leave", core::Leftovers::leave}});
    }
    if (const auto value = given_.last("die-with")) {
      const auto pid = number(value->text);
      if (value->text == "parent") {
        plan_.die_with.kind = core::DieWith::Kind::parent;
      } else if (value->text == "stdin") {
        plan_.die_with.kind = core::DieWith::Kind::standard_input;
      } else if (pid && *pid > 0) {
        plan_.die_with = {.kind = core::DieWith::Kind::process, .pid = *pid};
      } else {
        reject(*value, "expected parent, stdin or the pid of a process");
      }
    }
    for (const Value& value : given_.all("ok-exit")) {
      for (const std::string& part : split_at_commas(value.text)) {
        if (const auto code = number(part)) {
          if (*code > 255) reject(value, "expected exit codes from 0 to 255, or signal names");
          plan_.ok_exit.codes.insert(*code);
        } else {
          plan_.ok_exit.signals.insert(signal(value, part));
        }
      }
    }
  }

  void containment() {
    if (const auto value = given_.last("contain")) {
      plan_.contain = choice<core::ContainMode>(*value, {{"auto", core::ContainMode::automatic},
                                                         {"subreaper", core::ContainMode::subreaper},
                                                         {"cgroup", core::ContainMode::cgroup}});
    }
    plan_.guard = !given_.has("no-guard") && guard_by_environment();
    plan_.no_new_privs = given_.has("no-new-privs");
    const auto value = given_.last("close-fds");
    if (!value) return;
    plan_.close_fds.emplace();
    if (value->text.empty()) return;
    constexpr std::string_view kExcept = "except:";
    if (!value->text.starts_with(kExcept)) reject(*value, "expected nothing or except:N,...");
    for (const std::string& part : split_at_commas(value->text.substr(kExcept.size()))) {
      const auto fd = number(part);
      if (!fd) reject(*value, "expected descriptor numbers after except:");
      if (!sys::is_open(*fd)) reject(*value, "descriptor " + part + " is not open");
      plan_.close_fds->push_back(*fd);
    }
  }

  /// The environment form of --no-guard says it the other way round.
  static bool guard_by_environment() {
    const char* text = std::getenv("REAPCTL_OPT_GUARD");
    if (text == nullptr || *text == '\0') return true;
    return choice<bool>({.text = text, .source = "REAPCTL_OPT_GUARD"}, {{"on", true}, {"off", false}});
  }

  void workdir() {
    exclude("no-workdir", "workdir-base");
    exclude("no-workdir", "workdir-use");
    exclude("no-workdir", "keep-workdir");
    core::WorkdirPlan& workdir = plan_.workdir;
    workdir.wanted = !given_.has("no-workdir");
    workdir.base = sys::temporary_directory();
    if (const auto value = given_.last("workdir-base")) {
      if (value->text.empty()) reject(*value, "expected a directory");
      workdir.base = value->text;
      workdir.required = true;
    }
    if (const auto value = given_.last("workdir-use")) {
      workdir.required = true;
      for (const std::string& part : split_at_commas(value->text)) {
        if (part == "cwd") {
          workdir.use_as_cwd = true;
        } else if (part == "tmp") {
          workdir.use_as_tmp = true;
        } else {
          reject(*value, "expected cwd, tmp or cwd,tmp");
        }
      }
    }
    if (const auto value = given_.last("keep-workdir")) {
      workdir.keep = choice<core::KeepWorkdir>(*value, {{"never", core::KeepWorkdir::never},
                                                        {"on-failure", core::KeepWorkdir::on_failure},
                                                        {"always", core::KeepWorkdir::always}});
    }
    for (const Value& value : given_.all("remove")) {
      if (value.text.empty() || value.text.ends_with('/')) reject(value, "expected the path of a file");
      // Made absolute now: reapctl leaves the directory in which it was started.
      std::error_code failure;
      const auto path = std::filesystem::absolute(value.text, failure);
      if (failure) reject(value, "the current directory cannot be found: " + failure.message());
      plan_.remove_paths.push_back(path.string());
    }
  }

  void overlap() {
    if (const auto value = given_.last("splay")) plan_.splay = duration(*value);
    const auto policy = given_.last("on-overlap");
    const auto name = given_.last("lock");
    if (!name && policy && given_.has_on_command_line("on-overlap")) reject(*policy, "needs --lock");
    if (!name) return;
    if (!core::is_lock_name(name->text)) {
      reject(*name, "expected 1 to 64 letters, digits, dots, underscores and hyphens, but not . or ..");
    }
    plan_.lock.emplace();
    plan_.lock->name = name->text;
    if (!policy) return;
    constexpr std::string_view kWaitFor = "wait=";
    if (policy->text.starts_with(kWaitFor)) {
      plan_.lock->on_overlap = core::OnOverlap::wait;
      plan_.lock->wait_limit =
          duration({.text = policy->text.substr(kWaitFor.size()), .source = policy->source + " wait"});
      return;
    }
    plan_.lock->on_overlap = choice<core::OnOverlap>(*policy, {{"skip", core::OnOverlap::skip},
                                                               {"wait", core::OnOverlap::wait},
                                                               {"fail", core::OnOverlap::fail},
                                                               {"kill", core::OnOverlap::kill}});
  }

  /// A path that means a descriptor is that descriptor: as a file it would be replaced, and what the command had
  /// written into it lost.
  static std::optional<core::OutputTarget> descriptor_target(const Value& value) {
    std::string text = value.text;
    if (text == "-" || text == "/dev/stdout") text = "fd:1";  // nobody wants a file of the name -
    if (text == "/dev/stderr") text = "fd:2";
    for (const std::string_view prefix : {"fd:", "/dev/fd/", "/proc/self/fd/"}) {
      if (!text.starts_with(prefix)) continue;
      const auto fd = number(std::string_view(text).substr(prefix.size()));
      if (!fd) reject(value, "expected " + std::string(prefix) + " and the number of an open descriptor");
      if (!sys::is_open(*fd)) reject(value, "descriptor " + std::to_string(*fd) + " is not open");
      if (!sys::is_writable(*fd)) reject(value, "descriptor " + std::to_string(*fd) + " is not open for writing");
      return core::OutputTarget{.kind = core::OutputTarget::Kind::descriptor, .descriptor = *fd, .path = {}};
    }
    return std::nullopt;
  }

  static core::OutputTarget target(const Value& value) {
    if (value.text.empty()) reject(value, "expected a file or fd:N");
    if (auto descriptor = descriptor_target(value)) return *descriptor;
    return {.kind = core::OutputTarget::Kind::file, .descriptor = -1, .path = value.text};
  }

  void held_and_kept() {
    plan_.quiet_on_success = given_.has("quiet-on-success");
    const auto tail = given_.last("tail");
    if (!tail) return;
    constexpr std::uint64_t kLargestTail = std::uint64_t{16} << 20U;
    const auto size = core::parse_size(tail->text, kLargestTail);
    if (!size) reject(*tail, size.error().operation);
    plan_.tail_bytes = *size;
    if (plan_.tail_bytes > 0 && !plan_.quiet_on_success && plan_.rules.leftovers == core::Leftovers::leave) {
      reject(*tail, "does not go with --leftovers leave: the output of those who are left would lead nowhere");
    }
  }

  void output() {
    plan_.report = {.kind = core::OutputTarget::Kind::descriptor, .descriptor = 2, .path = {}};
    if (const auto value = given_.last("report")) {
      if (value->text == "none") {
        plan_.report = {};
      } else if (value->text == "stdout") {
        plan_.report.descriptor = 1;
      } else if (value->text != "stderr") {
        plan_.report = target(*value);
      }
    }
    if (const auto value = given_.last("report-format")) {
      plan_.report_format =
          choice<core::ReportFormat>(*value, {{"json", core::ReportFormat::json}, {"text", core::ReportFormat::text}});
    }
    if (const auto value = given_.last("report-args")) {
      plan_.report_args = choice<core::ArgsShown>(
          *value,
          {{"redacted", core::ArgsShown::redacted}, {"full", core::ArgsShown::full}, {"none", core::ArgsShown::none}});
    }
    if (const auto value = given_.last("events")) plan_.events = target(*value);
  }

  const GivenOptions& given_;
  core::RunPlan plan_;
};

}  // namespace

sys::Result<core::RunPlan> make_run_plan(const GivenOptions& given, std::vector<std::string> command) {
  try {
    return PlanMaker(given).make(std::move(command));
  } catch (const BadOption& bad) {
    return sys::Error{.code = 0, .operation = bad.message, .subject = {}};
  }
}

}  // namespace reapctl::cli
