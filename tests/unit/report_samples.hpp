#pragma once

#include "core/report.hpp"

#include <chrono>

/// Reports to render, as a runner would fill them in.
namespace reapctl::test {

inline core::WallTime wall(std::int64_t unix_ms) {
  return core::WallTime(core::Millis(unix_ms));
}

inline core::ProcessDetails process(pid_t pid, pid_t ppid, std::string comm, std::vector<std::string> argv = {}) {
  return {.pid = pid,
          .ppid = ppid,
          .pgid = pid,
          .sid = 4410,
          .start_ticks = 77,
          .comm = std::move(comm),
          .argv = std::move(argv),
          .state = 'S',
          .wchan = "ep_poll",
          .cpu_ms = 0,
          .rss_bytes = 1 << 20,
          .age_ms = 1000,
          .listening = {}};
}

/// The command exited 0 and left nothing behind.
inline core::RunReport success() {
  core::RunReport report;
  report.run_id = "C71E0A9B44D2";
  report.name = "make";
  report.host = "build7";
  report.boot_id = "5f0c0b5e-7a83-4b3f-9d0e-0123456789ab";
  report.argv = {"make", "-j2"};
  report.cwd = "/src";
  report.executable = "/usr/bin/make";
  report.origin = {.ppid = 100, .comm = "bash", .argv = {"bash"}, .user = "ada", .tty = "pts/3", .unit = "", .ci = ""};
  report.started_at = wall(1'795'248'000'123);
  report.ended_at = wall(1'795'248'002'623);
  report.duration = core::Millis(2500);
  report.result = core::RunResult::success;
  report.exit = {.kind = core::ExitKind::exited, .code = 0, .signal = {}, .failed_stage = "", .failed_errno = 0};
  report.main = core::MainReport{.pid = 4410,
                                 .started_at = wall(1'795'248'000'130),
                                 .duration = core::Millis(2400),
                                 .rusage = core::ResourceUsage{.utime_ms = 12}};
  report.guard = true;
  return report;
}

/// The example of the documentation: a worker did not end on INT, a server held a port.
inline core::RunReport timed_out() {
  core::RunReport report = success();
  report.name = "pytest";
  report.argv = {"python", "-m", "pytest", "-n", "2"};
  report.result = core::RunResult::timeout;
  report.exit = {.kind = core::ExitKind::killed, .code = {}, .signal = 2, .failed_stage = "", .failed_errno = 0};
  report.exit_code = 124;
  core::StopReport stop;
  stop.cause = core::StopCause::timeout;
  stop.requested_at = wall(1'795'248'600'123);
  stop.after = core::Millis(600'000);
  stop.duration = core::Millis(5'020);
  stop.snapshot = {process(4410, 4409, "python", {"/usr/bin/python", "-m", "pytest", "-n", "2"}),
                   process(4433, 4410, "python (gw0)"), process(4502, 4410, "redis-server", {"redis-server"})};
  stop.snapshot[0].wchan = "futex_wait";
  stop.snapshot[0].cpu_ms = 20;
  stop.snapshot[1].wchan = "";
  stop.snapshot[1].state = 'R';
  stop.snapshot[1].cpu_ms = 999;
  stop.snapshot[2].listening = {"127.0.0.1:6379", "[::1]:6379"};
  stop.rungs = {{.signal_name = "INT",
                 .at = core::Millis(0),
                 .told = 3,
                 .ended = 2,
                 .left = 1,
                 .stayed = {{4433, "python (gw0)"}},
                 .stayed_total = 1},
                {.signal_name = "KILL", .at = core::Millis(5'000), .told = 1, .ended = 1, .left = 0, .stayed = {}}};
  report.stop = stop;
  report.tree.snapshot_total = 3;
  report.tree.freed = stop.snapshot[2].listening;
  report.tree.reaped = 3;
  report.tree.peak_processes = 3;
  return report;
}

}  // namespace reapctl::test
