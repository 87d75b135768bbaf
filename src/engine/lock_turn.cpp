/// The turn at the lock: the part of Prelude that --lock is about.
#include "core/overlap.hpp"
#include "core/redact.hpp"
#include "core/verdict.hpp"
#include "engine/census.hpp"
#include "engine/helper_task.hpp"
#include "engine/prelude.hpp"
#include "engine/run_cases.hpp"
#include "engine/run_facts.hpp"
#include "engine/stop_runs.hpp"
#include "engine/sweeper.hpp"
#include "proc/describe.hpp"
#include "proc/host.hpp"
#include "proc/listening.hpp"
#include "sys/pid_fd.hpp"

#include <algorithm>
#include <chrono>
#include <poll.h>
#include <unistd.h>

namespace reapctl::engine {
namespace {

/// Between two looks at what no event tells of: a holder that is not on record yet, one that is dying.
constexpr core::Millis kInterval{20};

/// The same for a run that was released: its processes may stay for days.
constexpr core::Millis kLongInterval{1000};

/// A process that was killed is gone within this time, or something is wrong with the machine.
constexpr std::chrono::seconds kPatienceWithTheDying{30};

/// What a helper that has swept the former holder answers; anything else says why the lock cannot be had.
constexpr char kGone[] = "gone";
constexpr char kReleased[] = "released";
constexpr char kInside[] = "inside ";  ///< with the id of a run inside of it that is none of ours to end

sys::Error refusal(std::string why) {
  return {.code = 0, .operation = std::move(why), .subject = {}};
}

/// What was tried, as a sentence.
sys::Error cannot(sys::Error error) {
  error.operation.insert(0, "cannot ");
  return error;
}

std::vector<Registry> registries_of(const RegistryPlaces& places) {
  std::vector<std::string> ignored;
  auto registries = Registry::open_existing(places, ignored);
  return registries ? registries.take() : std::vector<Registry>{};
}

/// The runs that were started inside of another one. What they have running is of its tree.
struct RunsInside {
  std::vector<std::string> left;  ///< whose reapctl is dead, too
  std::string alive;              ///< one that is active, or else one that was released; empty: there is none
  bool doubtful = false;          ///< there is one that is neither: it may be just dying
};

RunsInside runs_inside(const RegistryPlaces& places, const std::string& run_id, const core::RecordCodec& codec) {
  RunsInside inside;
  bool active = false;
  for (const RunCase& run : read_cases(proc::ProcFs(), registries_of(places), codec).cases) {
    if (!run.record()) continue;
    const auto& enclosing = run.record()->enclosing;
    if (std::find(enclosing.begin(), enclosing.end(), run_id) == enclosing.end()) continue;
    const bool left = run.verdict == core::Verdict::orphaned || run.verdict == core::Verdict::cleaning;
    if (left) inside.left.push_back(run.entry.run_id);
    if (run.verdict == core::Verdict::unknown) inside.doubtful = true;
    if (active || (run.verdict != core::Verdict::active && run.verdict != core::Verdict::released)) continue;
    active = run.verdict == core::Verdict::active;
    inside.alive = run.entry.run_id;
  }
  return inside;
}

/// In a helper process: does to a run, and to those inside of it that were left like it, what sweep would do, and tells
/// whether anything of it can be alive.
std::string sweep_run(const RegistryPlaces& places, const std::string& run_id, const core::RecordCodec& codec) {
  core::SweepPlan plan;
  plan.registry = places.chosen;
  plan.ladder = core::default_ladder();
  const Sweeper::Progress nobody_looks = [](std::string_view) {};
  const auto deadline = core::Clock::now() + kPatienceWithTheDying;
  RunsInside inside = runs_inside(places, run_id, codec);
  for (;;) {
    plan.runs = inside.left;
    plan.runs.push_back(run_id);
    const core::SweepReport report = Sweeper(plan, codec, nobody_looks).run(registries_of(places));
    std::string reason;
    for (const core::SkippedItem& skipped : report.skipped) {
      if (skipped.run_id != run_id) continue;
      if (skipped.verdict == "released") return kReleased;
      reason = skipped.reason;
    }
    for (const core::SweptRun& run : report.runs) {
      if (run.run_id == run_id && run.alive > 0) reason = run.reason;
    }
    // What could not be deleted of it stays on record, and keeps nobody from running.
    if (reason.empty()) return kGone;
    RunsInside now = runs_inside(places, run_id, codec);
    if (!now.alive.empty()) return kInside + now.alive;
    // One of them may have been active until just now: each is swept once.
    std::erase_if(now.left, [&](const std::string& id) {
      return std::find(plan.runs.begin(), plan.runs.end(), id) != plan.runs.end();
    });
    // A run inside that was active before the sweep, and is not now, has ended meanwhile: look at what it left.
    const bool look_again = now.doubtful || inside.doubtful || !inside.alive.empty();
    if (now.left.empty() && (!look_again || core::Clock::now() >= deadline)) {
      return ("its former holder, run " + run_id)
          .append(", is not gone: ")
          .append(reason)
          .append("; reapctl sweep tells more");
    }
    if (now.left.empty()) (void)::poll(nullptr, 0, static_cast<int>(kInterval.count()));
    inside.left.insert(inside.left.end(), now.left.begin(), now.left.end());
    inside.alive.clear();
    inside.doubtful = now.doubtful;
  }
}

/// In a helper process: stops a run through its own reapctl, by its own ladder. Answers why it could not be stopped.
std::string stop_run(const RegistryPlaces& places, const std::string& run_id, const core::RecordCodec& codec) {
  const proc::ProcFs proc;
  RunCases cases = read_cases(proc, registries_of(places), codec);
  for (std::size_t i = 0; i < cases.cases.size(); ++i) {
    const RunCase& run = cases.cases[i];
    if (run.entry.run_id != run_id || run.verdict != core::Verdict::active || !run.record()) continue;
    if (run.record()->stop_signal == 0) return "no signal stops it (--stop-on none)";
    (void)stop_runs(proc, cases, {i}, codec, core::TimePoint::max());  // what it leaves is seen to by see_off()
  }
  return {};
}

std::string shown_command(const std::vector<std::string>& argv) {
  std::string text;
  for (const std::string& word : argv) text.append(text.empty() ? "" : " ").append(word);
  constexpr std::size_t kLongest = 120;
  if (text.size() <= kLongest) return text;
  std::size_t end = kLongest;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;  // between two characters
  return text.substr(0, end) + "…";
}

}  // namespace

sys::Result<Prelude::End> Prelude::turn_at_the_lock() {
  const core::LockPlan& wish = *plan_.lock;
  auto lock = NamedLock::open({.chosen = plan_.registry}, wish.name, report_.warnings);
  if (!lock) return cannot(lock.error());
  lock_ = lock.take();
  if (wish.on_overlap == core::OnOverlap::wait && wish.wait_limit) {
    wait_until_ = core::Clock::now() + *wish.wait_limit;
  }
  while (!stopped_) {
    inside_.clear();
    const auto taken = lock_.try_take();
    if (!taken) return cannot(taken.error());
    if (*taken) {
      const auto former = see_off_former_holders();
      if (!former) return former.error();
      if (*former == Former::stopped) break;
      if (*former == Former::gone) {
        if (auto signature = lock_.sign(run_id_); !signature) return cannot(signature.error());
        return End::go_on;
      }
      lock_.release();
    }
    const core::LockHolder holder = find_holder();
    if (!inside_.empty() && holder.run_id.empty()) continue;  // it has ended meanwhile
    const auto end = give_way(holder);
    if (!end) return end.error();
    if (*end != End::go_on) return *end;
  }
  return End::stopped;
}

/// We have the lock. The holder before us may have been killed, and then its tree may be alive.
sys::Result<Prelude::Former> Prelude::see_off_former_holders() {
  for (const std::string& run_id : lock_.signers()) {
    auto former = see_off(run_id);
    if (!former || *former != Former::gone) return former;
  }
  return Former::gone;
}

sys::Result<Prelude::Former> Prelude::see_off(const std::string& run_id) {
  const Here here = read_here(proc_);
  const auto deadline = core::Clock::now() + kPatienceWithTheDying;
  for (;;) {
    const Registry* registry = lock_.registry_of(run_id);
    const auto entry = registry != nullptr ? read_entry(*registry, run_id, codec_) : std::nullopt;
    if (!entry || entry->empty) return Former::gone;  // before there is a record nothing is started
    if (!entry->record) {
      return refusal("its former holder, run " + run_id + ", has a record that cannot be read: " + entry->problem);
    }
    const core::Verdict verdict = core::verdict(*entry->record, observe(proc_, here, *entry->record, entry->lock));
    switch (core::about_former_holder(*entry->record, verdict)) {
      case core::FormerMove::start: return Former::gone;
      case core::FormerMove::finish: {
        auto former = finish(run_id);
        if (!former || *former != Former::gone) return former;
        if (verdict != core::Verdict::cleaning) return former;
        break;  // another sweep was at it: look at what that has left
      }
      case core::FormerMove::refuse:
        return refusal("its former holder, run " + run_id + ", is " + std::string(core::name_of(verdict)) +
                       ": whether anything of it is alive cannot be told");
      case core::FormerMove::look_again: break;
    }
    if (core::Clock::now() >= deadline) {
      return refusal("its former holder, run " + run_id + ", has let go of the lock and is still there");
    }
    if (!wait(core::Clock::now() + kInterval)) return Former::stopped;
  }
}

sys::Result<Prelude::Former> Prelude::finish(const std::string& run_id) {
  const auto answer = answer_of([&] { return sweep_run({.chosen = plan_.registry}, run_id, codec_); });
  if (!answer) return answer.error();
  if (!*answer) return Former::stopped;
  if (**answer == kGone) return Former::gone;
  if (**answer == kReleased) return Former::alive;
  if ((*answer)->starts_with(kInside)) {
    former_ = run_id;
    inside_ = (*answer)->substr(std::string_view(kInside).size());
    return Former::alive;
  }
  return refusal(**answer);
}

/// The holder of the lock, as far as it is on record.
core::LockHolder Prelude::find_holder() const {
  if (!inside_.empty()) {
    core::LockHolder holder = holder_on_record(inside_).value_or(core::LockHolder{});
    if (!holder.run_id.empty()) holder.inside_of = former_;
    return holder;
  }
  core::LockHolder holder;
  for (const std::string& run_id : lock_.signers()) {
    if (auto found = holder_on_record(run_id)) holder = *std::move(found);
  }
  return holder;
}

std::optional<core::LockHolder> Prelude::holder_on_record(const std::string& run_id) const {
  const Registry* registry = lock_.registry_of(run_id);
  const auto entry = registry != nullptr ? read_entry(*registry, run_id, codec_) : std::nullopt;
  if (!entry || !entry->record) return std::nullopt;
  const core::RunRecord& record = *entry->record;
  const core::Verdict verdict = core::verdict(record, observe(proc_, read_here(proc_), record, entry->lock));
  // Any other run had the lock before the present holder, which has not signed yet.
  if (verdict != core::Verdict::active && verdict != core::Verdict::released) return std::nullopt;
  core::LockHolder holder{.run_id = run_id,
                          .name = record.name,
                          .reapctl_pid = record.guard ? record.guard->pid : record.supervisor.pid,
                          .state = record.state,
                          .started_at = record.started_at,
                          .command = shown_command(record.argv),
                          .main = {},
                          .inside_of = {}};
  const auto enclosing = enclosing_runs(::environ);
  holder.encloses_us = std::find(enclosing.begin(), enclosing.end(), run_id) != enclosing.end() ||
                       this_sweeper(proc_).ancestors.contains(record.supervisor.pid);
  if (!record.main || !is_running(proc_, record.main->id)) return holder;
  if (const auto main = proc_.stat(record.main->id.pid)) {
    holder.main = proc::describe(proc_, *main, proc::ListeningSockets(proc_), proc::since_boot());
  }
  return holder;
}

/// `go_on` means: look again, the lock may be free now.
sys::Result<Prelude::End> Prelude::give_way(const core::LockHolder& holder) {
  const bool waited_out = wait_until_ && core::Clock::now() >= *wait_until_;
  const auto sentence = [&] {
    return core::holder_sentence(plan_.lock->name, holder, std::chrono::system_clock::now());
  };
  switch (core::about_holder(*plan_.lock, holder, waited_out)) {
    case core::OverlapMove::lose: report_.warnings.push_back(sentence()); return End::overlap;
    case core::OverlapMove::refuse: return refusal(sentence() + ", and does not make way");
    case core::OverlapMove::wait: return await_end_of(holder) ? End::go_on : End::stopped;
    case core::OverlapMove::stop_holder: break;
  }
  const auto answer = answer_of([&] { return stop_run({.chosen = plan_.registry}, holder.run_id, codec_); });
  if (!answer) return answer.error();
  if (!*answer) return End::stopped;
  if (!(*answer)->empty()) return refusal(sentence() + "; " + **answer);
  return End::go_on;
}

/// By its pidfd where it is a process of ours to see, else by looking again.
bool Prelude::await_end_of(const core::LockHolder& holder) {
  sys::UniqueFd pid_fd;
  const Registry* registry = holder.run_id.empty() ? nullptr : lock_.registry_of(holder.run_id);
  const auto entry = registry != nullptr ? read_entry(*registry, holder.run_id, codec_) : std::nullopt;
  if (entry && entry->record && entry->record->pid_namespace == read_here(proc_).pid_namespace) {
    const core::ProcessId id = entry->record->guard.value_or(entry->record->supervisor);
    auto opened = sys::open_pid_fd(id.pid);
    if (opened && is_running(proc_, id)) pid_fd = opened.take();
  }
  if (pid_fd.valid()) return wait(wait_until_, pid_fd.get());
  const bool released = holder.state == core::RecordState::released;
  const core::TimePoint soon = core::Clock::now() + (released ? kLongInterval : kInterval);
  return wait(wait_until_ ? std::min(*wait_until_, soon) : soon);
}

sys::Result<std::optional<std::string>> Prelude::answer_of(const std::function<std::string()>& work) {
  auto task = HelperTask::start(work);
  if (!task) return cannot(task.error());
  if (!wait({}, task->completion_fd())) return std::optional<std::string>();  // which ends the helper
  auto answer = task->take_result();
  if (!answer) return answer.error();
  return std::optional(answer.take());
}

}  // namespace reapctl::engine
