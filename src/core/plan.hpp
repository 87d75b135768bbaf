#pragma once

#include "core/exit_status.hpp"
#include "core/overlap.hpp"
#include "core/report.hpp"
#include "core/supervision.hpp"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <sys/types.h>
#include <vector>

/// What a run is to do: complete and validated, every default filled in.
namespace reapctl::core {

/// Who hears the graceful rungs.
enum class Scope { main, group, tree };
enum class ForwardTo { main, group };
enum class ContainMode { automatic, subreaper, cgroup };
enum class KeepWorkdir { never, on_failure, always };
enum class ReportFormat { json, text };

struct DieWith {
  enum class Kind { nothing, parent, process, standard_input };
  Kind kind = Kind::nothing;
  pid_t pid = 0;  ///< for `process`
};

/// Where the report or the events go.
struct OutputTarget {
  enum class Kind { none, descriptor, file };
  Kind kind = Kind::none;
  int descriptor = -1;
  std::string path;
};

struct WorkdirPlan {
  bool wanted = true;
  bool required = false;  ///< asked for in words: without it nothing is started
  std::string base;
  bool use_as_cwd = false;
  bool use_as_tmp = false;
  KeepWorkdir keep = KeepWorkdir::never;
};

struct RunPlan {
  std::vector<std::string> argv;
  std::string name;
  SupervisionRules rules;
  Scope scope = Scope::tree;
  std::set<int> stop_on;
  std::map<int, int> signal_map;  ///< received -> forwarded; 0 drops it
  ForwardTo forward_to = ForwardTo::main;
  DieWith die_with;
  OkExit ok_exit;
  ContainMode contain = ContainMode::automatic;
  bool guard = true;
  bool no_new_privs = false;
  std::optional<std::vector<int>> close_fds;  ///< if set: pass only 0, 1, 2 and these
  WorkdirPlan workdir;
  std::vector<std::string> remove_paths;  ///< absolute
  OutputTarget report;
  ReportFormat report_format = ReportFormat::json;
  ArgsShown report_args = ArgsShown::redacted;
  OutputTarget events;
  bool quiet_on_success = false;
  std::size_t tail_bytes = 0;  ///< --tail; 0: none
  std::optional<LockPlan> lock;
  Millis splay{};        ///< zero: none
  std::string registry;  ///< --registry, absolute; empty: the usual places
};

}  // namespace reapctl::core
