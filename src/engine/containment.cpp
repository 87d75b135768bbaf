#include "engine/containment.hpp"

#include "sys/clone.hpp"

#include <utility>

namespace reapctl::engine {
namespace {

sys::Error refusal(const sys::Error& error) {
  return {.code = 0,
          .operation =
              "--contain cgroup: cannot " + error.message() + "; " + cgroup_remedy(error) + "; or take --contain auto",
          .subject = {}};
}

}  // namespace

std::string why_no_cgroup(const sys::Error& error) {
  return "auto: no cgroup, cannot " + error.message();
}

sys::Result<Containment> choose_containment(core::ContainMode mode, const proc::ProcFs& proc) {
  if (mode == core::ContainMode::subreaper) return Containment{.ground = {}, .why = "asked for"};
  auto ground = find_cgroup_ground(proc);
  // With `auto` the start of the command shows whether clone3 works: that spares all others this system call.
  const int clone_error = mode == core::ContainMode::cgroup ? sys::clone_into_cgroup_error() : 0;
  if (clone_error != 0) {
    ground = sys::Error{.code = clone_error, .operation = "start a process in a cgroup with clone3", .subject = {}};
  }
  if (ground) {
    const bool asked_for = mode == core::ContainMode::cgroup;
    std::string why = asked_for ? "asked for" : "auto: a cgroup can be had below " + ground->path;
    return Containment{.ground = ground.take(), .why = std::move(why)};
  }
  if (mode == core::ContainMode::cgroup) return refusal(ground.error());
  return Containment{.ground = {}, .why = why_no_cgroup(ground.error())};
}

sys::Result<std::optional<RunCgroup>> make_cgroup(core::ContainMode mode, Containment& containment,
                                                  const std::string& run_id) {
  if (!containment.ground) return std::optional<RunCgroup>();
  auto cgroup = RunCgroup::make(*std::move(containment.ground), run_id);
  containment.ground.reset();
  if (cgroup) return std::optional(cgroup.take());
  if (mode == core::ContainMode::cgroup) return refusal(cgroup.error());
  containment.why = why_no_cgroup(cgroup.error());
  return std::optional<RunCgroup>();
}

}  // namespace reapctl::engine
