#include "core/format.hpp"
#include "report/json_value.hpp"
#include "report/printable.hpp"
#include "report/record_value.hpp"

#include <array>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <optional>
#include <utility>

namespace reapctl::report {
namespace {

constexpr std::array<std::pair<core::RecordState, std::string_view>, 4> kStates = {{
    {core::RecordState::starting, "starting"},
    {core::RecordState::running, "running"},
    {core::RecordState::stopping, "stopping"},
    {core::RecordState::released, "released"},
}};

/// Thrown inside this file only: the first thing that is wrong ends the reading.
struct Malformed {
  std::string what;
};

const Json& member(const Json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  if (!object.is_object() || found == object.end()) throw Malformed{std::string("\"") + key + "\" is missing"};
  return *found;
}

template <class T>
T number(const Json& object, const char* key) {
  const Json& value = member(object, key);
  if (value.is_number_unsigned()) {
    const auto wide = value.get<std::uint64_t>();
    if (std::in_range<T>(wide)) return static_cast<T>(wide);
  } else if (value.is_number_integer()) {
    const auto wide = value.get<std::int64_t>();
    if (std::in_range<T>(wide)) return static_cast<T>(wide);
  }
  throw Malformed{std::string("\"") + key + "\" is no number in range"};
}

/// A pid to be signalled: never 0, -1 or a group.
pid_t pid(const Json& object, const char* key) {
  const auto value = number<pid_t>(object, key);
  if (value < 1) throw Malformed{std::string("\"") + key + "\" is no pid"};
  return value;
}

/// A signal that asks to stop, or 0. No reapctl can be told anything by KILL or STOP: the kernel does not let it hear
/// them.
int stop_signal(const Json& json) {
  const int value = number<int>(json, "stop_signal");
  if (value < 0 || value > SIGRTMAX || value == SIGKILL || value == SIGSTOP) {
    throw Malformed{"\"stop_signal\" is no signal that asks a run to stop"};
  }
  return value;
}

std::string text(const Json& object, const char* key) {
  const Json& value = member(object, key);
  if (value.is_null()) return {};
  if (!value.is_string()) throw Malformed{std::string("\"") + key + "\" is no text"};
  return value.get<std::string>();
}

std::vector<std::string> texts(const Json& object, const char* key, std::size_t most) {
  const Json& list = member(object, key);
  if (!list.is_array()) throw Malformed{std::string("\"") + key + "\" is no list"};
  if (list.size() > most) throw Malformed{std::string("\"") + key + "\" is too long"};
  std::vector<std::string> all;
  for (const Json& each : list) {
    if (!each.is_string()) throw Malformed{std::string("\"") + key + "\" is no list of texts"};
    all.push_back(each.get<std::string>());
  }
  return all;
}

std::string path(const Json& object, const char* key) {
  std::string found;
  if (const Json& value = member(object, key); value.is_object()) {
    const std::string hex = text(value, "hex");
    for (std::size_t at = 0; at + 1 < hex.size(); at += 2) {
      unsigned int byte = 0;
      const auto [end, error] = std::from_chars(hex.data() + at, hex.data() + at + 2, byte, 16);
      if (error != std::errc{} || end != hex.data() + at + 2) throw Malformed{"a path is no hexadecimal text"};
      found += static_cast<char>(byte);
    }
  } else {
    found = text(object, key);
  }
  if (!found.starts_with('/') || found.find('\0') != std::string::npos) throw Malformed{"a path is not absolute"};
  return found;
}

core::ProcessId process_id(const Json& json) {
  return {.pid = pid(json, "pid"), .start_ticks = number<std::uint64_t>(json, "start_ticks")};
}

/// The first process of a PID namespace is nobody's command, and everybody descends from it.
core::ProcessId process_of_run(const Json& json) {
  const core::ProcessId id = process_id(json);
  if (id.pid == 1) throw Malformed{"it names the first process, which no run has started"};
  return id;
}

core::MainOnRecord main_on_record(const Json& json) {
  return {.id = process_of_run(json), .pgid = number<pid_t>(json, "pgid"), .sid = number<pid_t>(json, "sid")};
}

core::CgroupOnRecord cgroup(const Json& json) {
  core::CgroupOnRecord found{.path = path(json, "path"), .inode = {}};
  if (!member(json, "inode").is_null()) found.inode = number<std::uint64_t>(json, "inode");
  return found;
}

core::WorkdirOnRecord workdir(const Json& json) {
  core::WorkdirOnRecord found{.path = path(json, "path"), .keep = member(json, "keep") == true, .identity = {}};
  if (const Json& identity = member(json, "identity"); !identity.is_null()) {
    found.identity = {.device = number<std::uint64_t>(identity, "device"),
                      .inode = number<std::uint64_t>(identity, "inode"),
                      .birth_time_ns = number<std::int64_t>(identity, "birth_time_ns"),
                      .owner = number<uid_t>(identity, "owner")};
  }
  return found;
}

core::Origin origin(const Json& json) {
  return {.ppid = number<pid_t>(json, "ppid"),
          .comm = text(json, "comm"),
          .argv = texts(json, "cmdline", core::kArgumentsOnRecord),
          .user = text(json, "user"),
          .tty = text(json, "tty"),
          .unit = text(json, "unit"),
          .ci = text(json, "ci")};
}

core::RecordState state(const Json& json) {
  const std::string name = text(json, "state");
  for (const auto& [value, known] : kStates) {
    if (known == name) return value;
  }
  throw Malformed{"\"state\" is \"" + printable(name) + "\""};
}

core::Ladder ladder(const Json& json) {
  auto rungs = core::parse_ladder(text(json, "ladder"));
  if (!rungs) throw Malformed{"\"ladder\" is none"};
  return rungs.take();
}

core::WallTime started_at(const Json& json) {
  const auto time = core::parse_rfc3339(text(json, "started_at"));
  if (!time) throw Malformed{"\"started_at\" is no time"};
  return *time;
}

core::RunRecord record_of(const Json& json) {
  core::RunRecord record{.run_id = text(json, "run_id"),
                         .enclosing = texts(json, "enclosing", core::kEnclosingOnRecord),
                         .name = text(json, "name"),
                         .argv = texts(json, "argv", core::kArgumentsOnRecord),
                         .uid = number<uid_t>(json, "uid"),
                         .boot_id = text(json, "boot_id"),
                         .pid_namespace = number<std::uint64_t>(json, "pid_namespace"),
                         .mount_namespace = number<std::uint64_t>(json, "mount_namespace"),
                         .guard = {},
                         .supervisor = process_id(member(json, "supervisor")),
                         .state = state(json),
                         .main = {},
                         .leftovers = {},
                         .stop_signal = stop_signal(json),
                         .cgroup = {},
                         .workdir = {},
                         .remove = {},
                         .lock_name = text(json, "lock_name"),
                         .ladder = ladder(json),
                         .origin = {},
                         .started_at = started_at(json)};
  if (const Json& guard = member(json, "guard"); !guard.is_null()) record.guard = process_id(guard);
  if (const Json& main = member(json, "main"); !main.is_null()) record.main = main_on_record(main);
  if (const Json& found = member(json, "cgroup"); !found.is_null()) record.cgroup = cgroup(found);
  if (const Json& found = member(json, "workdir"); !found.is_null()) record.workdir = workdir(found);
  if (const Json& found = member(json, "origin"); !found.is_null()) record.origin = origin(found);
  const Json& leftovers = member(json, "leftovers");
  if (leftovers.size() > core::kLeftoversOnRecord) throw Malformed{"\"leftovers\" is too long"};
  for (const Json& each : leftovers) record.leftovers.push_back(process_of_run(each));
  for (const Json& each : member(json, "remove")) {
    record.remove.push_back({.path = path(each, "path"),
                             .parent_device = number<std::uint64_t>(each, "parent_device"),
                             .parent_inode = number<std::uint64_t>(each, "parent_inode")});
  }
  return record;
}

}  // namespace

std::string_view name_of(core::RecordState state) {
  for (const auto& [value, name] : kStates) {
    if (value == state) return name;
  }
  return {};
}

sys::Result<core::RunRecord> decode_record(std::string_view bytes) {
  const Json json = Json::parse(bytes, nullptr, false);
  try {
    if (json.is_discarded()) throw Malformed{"it is torn, or no JSON"};
    const int version = number<int>(json, "schema_version");
    if (version != kRecordSchemaVersion) {
      throw Malformed{"its schema version " + std::to_string(version) + " is not known to this reapctl"};
    }
    return record_of(json);
  } catch (const Malformed& malformed) {
    return sys::Error{.code = 0, .operation = malformed.what, .subject = {}};
  }
}

}  // namespace reapctl::report
