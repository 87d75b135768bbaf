#include "cli/sweep_plan.hpp"

#include "cli/values.hpp"
#include "core/ladder.hpp"
#include "engine/registry.hpp"
#include "sys/passwd.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string_view>
#include <unistd.h>
#include <utility>

namespace reapctl::cli {
namespace {

/// An absolute path without links, as /proc shows it. What is gone stays as it was written.
std::string real_path(const Value& value) {
  std::error_code failure;
  const auto path = std::filesystem::weakly_canonical(value.text, failure);
  if (value.text.empty() || failure) reject(value, "expected a path");
  return path.string();
}

bool is_home(const std::string& path, const std::string& home) {
  std::error_code failure;
  return !home.empty() && std::filesystem::weakly_canonical(home, failure) == path;
}

/// These would match half of a machine. The environment may lie about the home directory; so may /etc/passwd, less.
void refuse_broad(const Value& value, const std::string& path, const std::optional<uid_t>& of) {
  if (path == "/") reject(value, "would match nearly everything");
  const char* variable = std::getenv("HOME");
  std::vector<std::string> homes = {variable != nullptr ? variable : ""};
  for (const uid_t uid : {::geteuid(), of.value_or(::geteuid())}) {
    if (const auto user = sys::find_user(uid)) homes.push_back(user->home);
  }
  if (std::any_of(homes.begin(), homes.end(), [&](const std::string& home) { return is_home(path, home); })) {
    reject(value, "is a home directory, where every shell is");
  }
}

/// A variable that is in nearly every environment tells no process from another.
bool is_common(const std::string& assignment) {
  static constexpr std::array<std::string_view, 6> kCommon = {"HOME=", "USER=", "LOGNAME=", "SHELL=", "PATH=", "LANG="};
  return std::any_of(kCommon.begin(), kCommon.end(),
                     [&](std::string_view start) { return assignment.starts_with(start); });
}

void refuse_common(const GivenOptions& given, const core::MatchCriteria& match) {
  const bool something_else = !match.ports.empty() || match.cwd || match.executable || match.pid;
  if (match.environment.empty() || something_else) return;
  if (std::all_of(match.environment.begin(), match.environment.end(), is_common)) {
    reject(given.all("match-env").front(), "is in nearly every environment: add another --match option");
  }
}

uid_t user(const Value& value) {
  if (const auto uid = number(value.text)) return static_cast<uid_t>(*uid);
  if (const auto found = sys::find_user(std::string_view(value.text))) return found->uid;
  reject(value, "no such user in /etc/passwd; give the number");
}

core::MatchCriteria match_criteria(const GivenOptions& given) {
  core::MatchCriteria match;
  for (const Value& value : given.all("match-env")) {
    if (value.text.find('=') == std::string::npos || value.text.starts_with('=')) reject(value, "expected KEY=VALUE");
    match.environment.push_back(value.text);
  }
  for (const Value& value : given.all("match-port")) match.ports.push_back(port(value));
  if (const auto value = given.last("match-cwd")) match.cwd = real_path(*value);
  if (const auto value = given.last("match-exe")) match.executable = real_path(*value);
  if (const auto value = given.last("match-pid")) {
    const auto pid = number(value->text);
    if (!pid || *pid < 2) reject(*value, "expected the pid of a process other than 1");
    match.pid = *pid;
  }
  if (const auto value = given.last("match-user")) {
    if (!match.any()) reject(*value, "needs one of the other --match options");
    match.uid = user(*value);
  }
  if (match.cwd) refuse_broad(*given.last("match-cwd"), *match.cwd, match.uid);
  if (match.executable) refuse_broad(*given.last("match-exe"), *match.executable, match.uid);
  refuse_common(given, match);
  return match;
}

}  // namespace

core::SweepPlan make_sweep_plan(const GivenOptions& given, const std::vector<std::string>& runs) {
  core::SweepPlan plan;
  plan.registry = registry_directory(given);
  for (const std::string& run : runs) plan.runs.push_back(run_prefix(run));
  if (const auto value = given.last("name")) plan.name = value->text;
  if (const auto value = given.last("older-than")) plan.older_than = duration(*value);
  plan.include_active = given.has("include-active");
  plan.dry_run = given.has("dry-run");
  plan.all_users = given.has("all-users");
  plan.fail_if_found = given.has("fail-if-found");
  plan.confirmed = given.has("yes");
  plan.match = match_criteria(given);
  if (plan.match.any() && (!plan.runs.empty() || plan.name || plan.include_active || plan.all_users)) {
    throw BadOption{
        "the --match options look at processes, not at runs: RUN, --name, --include-active and --all-users "
        "do not go with them"};
  }
  if (plan.all_users && ::geteuid() != 0) throw BadOption{"--all-users: only root can act for others"};
  if (plan.all_users && !plan.registry.empty()) throw BadOption{"--all-users does not go with --registry"};
  plan.ladder = core::default_ladder();
  if (const auto value = given.last("ladder")) {
    auto ladder = core::parse_ladder(value->text);
    if (!ladder) reject(*value, ladder.error().operation);
    plan.ladder = ladder.take();
  }
  if (const auto value = given.last("stop-timeout")) plan.stop_timeout = duration(*value);
  if (const auto value = given.last("format")) {
    plan.format = choice<core::SweepFormat>(
        *value,
        {{"text", core::SweepFormat::text}, {"json", core::SweepFormat::json}, {"github", core::SweepFormat::github}});
  }
  if (given.has("json")) plan.format = core::SweepFormat::json;
  return plan;
}

std::string run_prefix(const std::string& text) {
  std::string prefix;
  for (const char letter : text) prefix += static_cast<char>(std::toupper(static_cast<unsigned char>(letter)));
  if (prefix.empty() || prefix.size() > engine::kRunIdLength ||
      prefix.find_first_not_of("0123456789ABCDEF") != std::string::npos) {
    throw BadOption{"RUN \"" + text + "\": expected the id of a run or the beginning of one, as list shows them"};
  }
  return prefix;
}

}  // namespace reapctl::cli
