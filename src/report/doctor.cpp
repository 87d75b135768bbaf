#include "report/doctor.hpp"

#include "report/json_value.hpp"
#include "report/printable.hpp"
#include "report/table.hpp"
#include "version.hpp"

#include <utility>

namespace reapctl::report {
namespace {

constexpr int kSchemaVersion = 1;

const char* auto_mode(const core::DoctorReport& report) {
  return report.auto_takes_cgroup ? "cgroup" : "subreaper";
}

std::string works_or(const std::string& problem) {
  return problem.empty() ? "works" : printable(problem);
}

std::string cgroup_text(const core::DoctorReport& report) {
  if (!report.cgroup_problem.empty()) return "no: " + printable(report.cgroup_problem);
  std::string text = "works, below " + printable(report.cgroup_directory);
  bool memory = false;
  for (const std::string& controller : report.cgroup_controllers) memory = memory || controller == "memory";
  return text + (memory ? "" : "; without the memory controller, so no memory figures");
}

}  // namespace

std::string to_json(const core::DoctorReport& report) {
  Json features = Json::array();
  for (const core::DoctorFeature& feature : report.features) {
    features.push_back({{"name", feature.name},
                        {"works", or_null(feature.works)},
                        {"since", or_null(feature.since)},
                        {"purpose", feature.purpose}});
  }
  return one_line({
      {"schema_version", kSchemaVersion},
      {"reapctl_version", kVersion},
      {"kernel", report.kernel},
      {"uid", report.uid},
      {"user", report.user},
      {"auto", {{"mode", auto_mode(report)}, {"why", report.auto_why}}},
      {"subreaper", {{"works", report.subreaper_problem.empty()}, {"problem", or_null(report.subreaper_problem)}}},
      {"cgroup",
       {{"works", report.cgroup_problem.empty()},
        {"directory", or_null(report.cgroup_directory)},
        {"controllers", report.cgroup_controllers},
        {"problem", or_null(report.cgroup_problem)},
        {"remedy", or_null(report.cgroup_remedy)}}},
      {"guard", {{"works", report.guard_problem.empty()}, {"problem", or_null(report.guard_problem)}}},
      {"registry",
       {{"directory", or_null(report.registry_directory)},
        {"usable", report.registry_problem.empty()},
        {"problem", or_null(report.registry_problem)}}},
      {"features", std::move(features)},
      {"warnings", report.warnings},
  });
}

std::string to_text(const core::DoctorReport& report) {
  std::vector<std::vector<std::string>> rows = {
      {"auto picks", std::string(auto_mode(report)) + ": " + printable(report.auto_why)},
      {"subreaper", works_or(report.subreaper_problem)},
      {"cgroup", cgroup_text(report)}};
  if (!report.cgroup_remedy.empty()) rows.push_back({"", "to have one: " + printable(report.cgroup_remedy)});
  rows.push_back({"guard", works_or(report.guard_problem)});
  const bool usable = report.registry_problem.empty();
  rows.push_back(
      {"registry", usable ? printable(report.registry_directory) : "no: " + printable(report.registry_problem)});
  std::string text =
      "reapctl " + std::string(kVersion) + " for " + printable(report.user) + " on Linux " + printable(report.kernel);
  for (const std::string& line : table_lines(rows, "  ", {})) text.append("\n").append(line);
  rows.clear();
  for (const core::DoctorFeature& feature : report.features) {
    const char* const works = !feature.works ? "?" : *feature.works ? "yes" : "no";
    rows.push_back({works, feature.name, feature.since.empty() ? "-" : feature.since, printable(feature.purpose)});
  }
  text += "\n";
  for (const std::string& line : table_lines(rows, "  ", {})) text.append("\n").append(line);
  for (const std::string& warning : report.warnings) text.append("\nwarning: ").append(printable(warning));
  return text;
}

}  // namespace reapctl::report
