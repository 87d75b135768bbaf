#include "engine/ledger.hpp"

#include "core/exit_status.hpp"
#include "core/signal_name.hpp"
#include "proc/describe.hpp"
#include "proc/host.hpp"
#include "proc/listening.hpp"

#include <algorithm>
#include <set>
#include <string>
#include <sys/resource.h>
#include <utility>

namespace reapctl::engine {
namespace {

/// How often this thread has given the processor away to wait for something, getrusage(2).
long waits() {
  rusage usage{};
  (void)::getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_nvcsw;
}

std::int64_t millis(const timeval& time) {
  return std::int64_t{time.tv_sec} * 1000 + time.tv_usec / 1000;
}

void add(core::ResourceUsage& sum, const core::ResourceUsage& more) {
  sum.utime_ms += more.utime_ms;
  sum.stime_ms += more.stime_ms;
  sum.maxrss_bytes = std::max(sum.maxrss_bytes, more.maxrss_bytes);
  sum.minflt += more.minflt;
  sum.majflt += more.majflt;
  sum.nvcsw += more.nvcsw;
  sum.nivcsw += more.nivcsw;
  sum.inblock += more.inblock;
  sum.oublock += more.oublock;
}

}  // namespace

core::ResourceUsage resource_usage(const rusage& usage) {
  return {
      .utime_ms = millis(usage.ru_utime),
      .stime_ms = millis(usage.ru_stime),
      .maxrss_bytes = std::int64_t{usage.ru_maxrss} * 1024,
      .minflt = usage.ru_minflt,
      .majflt = usage.ru_majflt,
      .nvcsw = usage.ru_nvcsw,
      .nivcsw = usage.ru_nivcsw,
      .inblock = usage.ru_inblock,
      .oublock = usage.ru_oublock,
  };
}

std::vector<core::ProcessDetails> Ledger::describe(std::vector<core::ProcessStat> processes) const {
  if (processes.empty()) return {};
  const proc::ListeningSockets listening(proc_);
  const auto since_boot = proc::since_boot();
  if (processes.size() > core::kListLimit) processes.resize(core::kListLimit);
  std::vector<core::ProcessDetails> details;
  details.reserve(processes.size());
  const core::TimePoint until = core::Clock::now() + describing_time_;
  const long waits_before = waits();
  for (const core::ProcessStat& process : processes) {
    const bool briefly = core::Clock::now() >= until && waits() > waits_before;
    details.push_back(briefly ? proc::describe_briefly(process, since_boot)
                              : proc::describe(proc_, process, listening, since_boot));
  }
  return details;
}

std::vector<core::ProcessDetails> Ledger::snapshot() {
  const auto processes = tree_.living();
  report_.snapshot_total = static_cast<int>(processes.size());
  return snapshot_ = describe(processes);
}

int Ledger::note_leftovers(core::TimePoint now) {
  main_ended_at_ = now;
  const auto processes = tree_.living();
  report_.leftovers_total = static_cast<int>(processes.size());
  for (core::ProcessDetails& process : describe(processes)) {
    leftover_of_pid_[process.pid] = report_.leftovers.size();
    report_.leftovers.push_back({.process = std::move(process), .died_of = {}, .after = {}, .rung = {}});
  }
  return report_.leftovers_total;
}

std::vector<core::ProcessId> Ledger::leftovers() const {
  std::vector<core::ProcessId> ids;
  for (const core::Leftover& each : report_.leftovers) {
    ids.push_back({.pid = each.process.pid, .start_ticks = each.process.start_ticks});
  }
  return ids;
}

void Ledger::note_reaped(const sys::ChildEnd& child, core::TimePoint now) {
  ++report_.adopted;
  ++report_.reaped;
  add(report_.reaped_rusage, resource_usage(child.usage));
  const auto known = leftover_of_pid_.find(child.info.si_pid);
  if (known == leftover_of_pid_.end()) return;
  core::Leftover& leftover = report_.leftovers[known->second];
  leftover.died_of = core::exit_status(child.info).signal;
  leftover.after = core::to_millis(now - main_ended_at_);
  if (rung_open_) leftover.rung = rungs_.back().signal_name;
  leftover_of_pid_.erase(known);  // the pid may be given to another process now
}

void Ledger::note_main(const sys::ChildEnd& child) {
  ++report_.reaped;
  add(report_.reaped_rusage, resource_usage(child.usage));
}

void Ledger::open_rung(std::string name, core::Millis at) {
  rungs_.push_back({.signal_name = std::move(name), .at = at, .told = 0, .ended = 0, .left = 0, .stayed = {}});
  rung_open_ = true;
}

void Ledger::close_rung() {
  if (rung_open_) close_rung(tree_.standing());
}

void Ledger::close_rung(const Tree::Standing& standing) {
  if (!rung_open_) return;
  rung_open_ = false;
  core::RungReport& rung = rungs_.back();
  rung.told = standing.told;
  rung.stayed_total = static_cast<int>(standing.stayed.size());
  rung.ended = rung.told - rung.stayed_total;
  rung.left = standing.alive;
  for (const core::ProcessStat& process : standing.stayed) {
    if (rung.stayed.size() < core::kListLimit) rung.stayed.push_back({.pid = process.id.pid, .comm = process.comm});
  }
}

void Ledger::note_survivors() {
  if (!tree_.may_have_somebody()) return;
  report_.survivors = tree_.survivors();
  report_.survivors_total = static_cast<int>(report_.survivors.size());
  if (report_.survivors.size() > core::kListLimit) report_.survivors.resize(core::kListLimit);
}

/// A listening socket may be held by another process too, or another process may have opened one on the port since.
void Ledger::note_freed_ports() {
  std::set<std::string> addresses;
  const auto collect = [&addresses](const core::ProcessDetails& process) {
    addresses.insert(process.listening.begin(), process.listening.end());
  };
  std::for_each(snapshot_.begin(), snapshot_.end(), collect);
  for (const core::Leftover& leftover : report_.leftovers) collect(leftover.process);
  if (addresses.empty()) return;
  const proc::ListeningSockets listening(proc_);
  for (const std::string& address : addresses) {
    if (!listening.may_listen_on_port_of(address)) report_.freed.push_back(address);
  }
}

core::TreeReport Ledger::tree() const {
  core::TreeReport report = report_;
  report.peak_processes = tree_.peak();
  return report;
}

}  // namespace reapctl::engine
