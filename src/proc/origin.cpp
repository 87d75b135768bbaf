#include "proc/origin.hpp"

#include "proc/parse.hpp"

#include <array>
#include <cstddef>

namespace reapctl::proc {
namespace {

/// What a CI system sets, by its own documentation. `marker` says that it is this one; each value comes with a word in
/// front of it and is left out when it is not set.
struct CiSystem {
  struct Part {
    const char* word = nullptr;
    const char* variable = nullptr;
  };
  const char* name;
  const char* marker;
  std::array<Part, 3> parts;
};

constexpr std::array kCiSystems{
    CiSystem{"github-actions",
             "GITHUB_ACTIONS",
             {{{"", "GITHUB_REPOSITORY"}, {"run", "GITHUB_RUN_ID"}, {"job", "GITHUB_JOB"}}}},
    CiSystem{
        "gitlab-ci", "GITLAB_CI", {{{"", "CI_PROJECT_PATH"}, {"pipeline", "CI_PIPELINE_ID"}, {"job", "CI_JOB_NAME"}}}},
    CiSystem{"jenkins", "JENKINS_URL", {{{"", "JOB_NAME"}, {"build", "BUILD_NUMBER"}}}},
    CiSystem{"buildkite",
             "BUILDKITE",
             {{{"", "BUILDKITE_PIPELINE_SLUG"}, {"build", "BUILDKITE_BUILD_NUMBER"}, {"job", "BUILDKITE_JOB_ID"}}}},
    CiSystem{"circleci",
             "CIRCLECI",
             {{{"", "CIRCLE_PROJECT_REPONAME"}, {"build", "CIRCLE_BUILD_NUM"}, {"job", "CIRCLE_JOB"}}}},
    CiSystem{"travis-ci",
             "TRAVIS",
             {{{"", "TRAVIS_REPO_SLUG"}, {"build", "TRAVIS_BUILD_NUMBER"}, {"job", "TRAVIS_JOB_NUMBER"}}}},
    CiSystem{"azure-pipelines",
             "TF_BUILD",
             {{{"", "BUILD_REPOSITORY_NAME"}, {"build", "BUILD_BUILDNUMBER"}, {"job", "AGENT_JOBNAME"}}}},
    CiSystem{"ci", "CI", {}},
};

std::string_view value_of(const EnvironmentLookup& environment, const char* name) {
  const char* value = environment(name);
  return value != nullptr ? std::string_view(value) : std::string_view();
}

/// Some people switch such a variable off by a value rather than by its absence.
bool is_set(std::string_view value) {
  return !value.empty() && value != "false" && value != "0";
}

/// The path behind "0::" or "N:name=systemd:"; empty when there is no such line.
std::string_view cgroup_path(std::string_view text, std::string_view hierarchy) {
  while (!text.empty()) {
    const std::string_view line = take_line(text);
    const std::size_t first = line.find(':');
    if (first == std::string_view::npos) continue;
    const std::size_t second = line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    if (line.substr(first + 1, second - first - 1) == hierarchy) return line.substr(second + 1);
  }
  return {};
}

}  // namespace

core::Origin read_origin(const ProcFs& proc, const OriginSource& source) {
  core::Origin origin;
  origin.ppid = source.parent;
  if (source.parent > 0) {
    origin.comm = proc.comm(source.parent);
    origin.argv = proc.cmdline(source.parent);
  }
  origin.user = sys::user_name(source.uid, source.passwd_path);
  if (const auto self = proc.stat(source.self)) origin.tty = tty_name(self->tty_nr);
  if (const auto cgroup = proc.read(std::to_string(source.self) + "/cgroup")) origin.unit = systemd_unit(*cgroup);
  origin.ci = ci_job(source.environment);
  return origin;
}

std::string tty_name(int tty_nr) {
  if (tty_nr == 0) return {};
  const auto number = static_cast<unsigned>(tty_nr);
  const unsigned major = (number >> 8U) & 0xfffU;
  const unsigned minor = (number & 0xffU) | ((number >> 12U) & 0xfff00U);
  if (major >= 136 && major <= 143) return "pts/" + std::to_string((major - 136) * 256 + minor);
  if (major == 4 && minor < 64) return "tty" + std::to_string(minor);
  if (major == 4) return "ttyS" + std::to_string(minor - 64);
  if (major == 5 && minor == 1) return "console";
  return std::to_string(major) + ":" + std::to_string(minor);
}

std::string systemd_unit(std::string_view cgroup) {
  std::string_view path = cgroup_path(cgroup, "name=systemd");
  if (path.empty()) path = cgroup_path(cgroup, "");
  std::string_view slice;
  while (!path.empty()) {
    const std::size_t cut = path.rfind('/');
    const std::string_view name = cut == std::string_view::npos ? path : path.substr(cut + 1);
    if (name.ends_with(".service") || name.ends_with(".scope")) return std::string(name);
    if (slice.empty() && name.ends_with(".slice")) slice = name;
    path = path.substr(0, cut == std::string_view::npos ? 0 : cut);
  }
  return std::string(slice);
}

std::string ci_job(const EnvironmentLookup& environment) {
  for (const CiSystem& system : kCiSystems) {
    if (!is_set(value_of(environment, system.marker))) continue;
    std::string job = system.name;
    for (const auto& [word, variable] : system.parts) {
      const std::string_view value = variable != nullptr ? value_of(environment, variable) : std::string_view();
      if (value.empty()) continue;
      if (*word != '\0') job.append(" ").append(word);
      job.append(" ").append(value);
    }
    return job;
  }
  return {};
}

}  // namespace reapctl::proc
