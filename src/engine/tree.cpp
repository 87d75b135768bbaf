#include "engine/tree.hpp"

#include "sys/children.hpp"
#include "sys/pid_fd.hpp"

#include <algorithm>
#include <csignal>
#include <iterator>
#include <unistd.h>

namespace reapctl::engine {
namespace {

/// More children than this are a storm: they are killed without a closer look, which would be outrun.
constexpr std::size_t kStorm = 512;
/// In a storm we may have a fiftieth of a processor, and signals are not heard while we look. So this is the bound for
/// listing the children, and again for finding out which of them have ended.
constexpr core::Millis kListingTime{50};
/// How many children are looked at first at each end of the list, for that is where the living are: those adopted long
/// ago are in front, the newborn at the end, and in between are zombies.
constexpr std::size_t kEnd = 2048;
/// The bound for telling some, and for killing some, before signals and deadlines get their turn.
constexpr core::Millis kTellingTime{20};
constexpr core::Millis kKillingTime{20};
/// A pass of killing ends when it has come across so many children, to give the reaping its turn.
constexpr std::size_t kPassLimit = 65536;

bool is_storm(const sys::Result<std::vector<pid_t>>& children) {
  return children && children->size() > kStorm;
}

/// Those that have not ended; the oldest first.
std::vector<pid_t> without_ended(std::vector<pid_t> children) {
  if (children.size() > 2 * kEnd) std::rotate(children.begin() + kEnd, children.end() - kEnd, children.end());
  const core::TimePoint until = core::Clock::now() + kListingTime;
  std::vector<pid_t> alive;
  for (std::size_t i = 0; i < children.size(); ++i) {
    if (i >= 2 * kEnd && i % 64 == 0 && core::Clock::now() >= until) break;
    if (!sys::peek_ended(children[i])) alive.push_back(children[i]);
  }
  return alive;
}

}  // namespace

sys::Result<void> signal_process(const proc::ProcFs& proc, const core::ProcessId& id, int signal) {
  const auto pid_fd = sys::open_pid_fd(id.pid);
  if (!pid_fd && pid_fd.error().code != ENOSYS) return pid_fd.error();
  const auto now = proc.stat(id.pid);
  if (!now || now->id != id) {
    return sys::Error{.code = ESRCH, .operation = "signal process", .subject = std::to_string(id.pid)};
  }
  if (pid_fd) return sys::send_signal(pid_fd->get(), signal);
  if (::kill(id.pid, signal) != 0) return sys::last_error("kill", std::to_string(id.pid));
  return {};
}

void Tree::disown_children() {
  for (const core::ProcessStat& process : proc_.descendants(::getpid()).processes) strangers_.insert(process.id);
  has_strangers_ = !strangers_.empty();
}

void Tree::own(pid_t main, bool leads_group) {
  main_ = main;
  main_leads_group_ = leads_group;
  if (!has_strangers_) return;
  if (const auto process = proc_.stat(main)) ours_.insert(process->id);
}

/// There may be thousands of zombies, and asking the kernel whether a child has ended takes a fiftieth of the time that
/// a look into /proc takes. So they are sorted out first.
std::vector<core::ProcessStat> Tree::descendants(const Pids& children) const {
  if (!children) return proc_.descendants(::getpid()).processes;
  return proc_.descendants(::getpid(), without_ended(*children)).processes;
}

/// As many as can be listed within kListingTime; stops early once there are `enough`.
Tree::Pids Tree::children(std::size_t enough) const {
  auto reader = proc_.own_children();
  if (!reader) return proc_.children(::getpid());
  const core::TimePoint until = core::Clock::now() + kListingTime;
  std::vector<pid_t> pids;
  do {
    const auto more = reader->next();
    if (more.empty()) break;
    pids.insert(pids.end(), more.begin(), more.end());
  } while (pids.size() < enough && core::Clock::now() < until);
  return pids;
}

std::vector<core::ProcessStat> Tree::living() {
  // In a storm the cgroup alone is quick enough: no need to have read all of its zombies. Whoever has left it is found
  // when the storm is over.
  const Pids children = cgroup_ != nullptr ? this->children(kStorm + 1) : this->children();
  storm_ = is_storm(children);
  met_in_storm_.reset();
  std::vector<core::ProcessStat> processes;
  if (cgroup_ == nullptr || !storm_) processes = descendants(children);
  const std::set<pid_t> members = cgroup_ != nullptr ? add_members(processes) : std::set<pid_t>();
  if (has_strangers_) leave_out_strangers(processes, members);
  std::erase_if(processes, [](const core::ProcessStat& process) { return !core::is_alive(process); });
  if (adoptions_watched_) note_adopted(processes);
  peak_ = std::max(peak_.value_or(0), static_cast<int>(processes.size()));
  if (storm_) met_in_storm_ = processes;
  return processes;
}

/// Adds the members of the cgroup that do not descend from us, and returns the pids of all members. The cgroup is read
/// after the processes: then a process with a listed pid, if it is still the same when it is signalled, was a member.
std::set<pid_t> Tree::add_members(std::vector<core::ProcessStat>& processes) const {
  const auto found = cgroup_->members();
  std::set<pid_t> others(found.begin(), found.end());
  for (const core::ProcessStat& process : processes) others.erase(process.id.pid);
  // Root may have moved reapctl itself into it.
  others.erase(::getpid());
  others.erase(::getppid());
  if (others.empty()) return {found.begin(), found.end()};
  std::vector<core::ProcessStat> outsiders;
  for (const pid_t pid : others) {
    if (auto process = proc_.stat(pid)) outsiders.push_back(process.take());
  }
  const auto again = cgroup_->members();
  std::set<pid_t> members(again.begin(), again.end());
  for (core::ProcessStat& process : outsiders) {
    if (members.contains(process.id.pid)) processes.push_back(std::move(process));
  }
  return members;
}

void Tree::note_adopted(const std::vector<core::ProcessStat>& processes) {
  for (const core::ProcessStat& process : processes) {
    const bool adopted = process.ppid == ::getpid() && process.id.pid != main_;
    if (adopted && adopted_pids_.insert(process.id.pid).second) adopted_.push_back(process);
  }
}

std::vector<core::ProcessStat> Tree::adopted_children(std::size_t most) {
  std::vector<core::ProcessStat> found;
  const auto children = this->children(kStorm + 1);
  if (!children || is_storm(children)) return found;
  for (const pid_t pid : *children) {
    if (pid == main_ || found.size() >= most) continue;
    auto process = proc_.stat(pid);
    if (process && process->ppid == ::getpid() && core::is_alive(*process)) found.push_back(process.take());
  }
  if (has_strangers_) leave_out_strangers(found, {});
  if (adoptions_watched_) note_adopted(found);
  return found;
}

bool Tree::forget_adopted(pid_t pid) {
  return adopted_pids_.erase(pid) > 0;
}

bool Tree::may_have_somebody() const {
  return sys::has_children() || (cgroup_ != nullptr && cgroup_->is_populated());
}

void Tree::leave_out_strangers(std::vector<core::ProcessStat>& processes, const std::set<pid_t>& members) {
  std::set<pid_t> our_pids;
  std::set<pid_t> strange_pids;
  std::erase_if(processes, [&](const core::ProcessStat& process) {  // parents come first
    const bool orphan = process.ppid == ::getpid();
    const bool ours = ours_.contains(process.id) || our_pids.contains(process.ppid) ||
                      members.contains(process.id.pid) ||
                      (orphan && !strangers_.contains(process.id) &&
                       proc_.environ_has(process.id.pid, cookie_) == proc::EnvironMatch::yes);
    const bool strange = !ours && (strangers_.contains(process.id) || strange_pids.contains(process.ppid));
    // Remembered, because it becomes our child and looks like any other orphan when its parent dies. An orphan that
    // does not show the cookie is neither: in the middle of its exec a process shows no environment at all.
    if (ours) {
      ours_.insert(process.id);
      our_pids.insert(process.id.pid);
    } else if (strange) {
      strangers_.insert(process.id);
      strange_pids.insert(process.id.pid);
    }
    return !ours;
  });
}

void Tree::forget_stranger(pid_t pid) {
  std::erase_if(strangers_, [pid](const core::ProcessId& stranger) { return stranger.pid == pid; });
}

int Tree::tell(const core::Rung& rung, core::Scope scope, std::optional<pid_t> main, bool rest) {
  if (!rest) told_.clear();
  untold_.clear();
  // Another look at a storm would find others, gone as soon as found, and take as long as the one before.
  const auto processes = met_in_storm_ ? *std::exchange(met_in_storm_, std::nullopt) : living();
  const auto main_process = std::find_if(processes.begin(), processes.end(),
                                         [&](const core::ProcessStat& process) { return process.id.pid == main; });
  // Once the main command has gone, the rung is for whoever is left.
  if (main_process == processes.end()) scope = core::Scope::tree;
  for (const core::ProcessStat& process : processes) {
    if (scope == core::Scope::main && process.id.pid != main) continue;
    if (scope == core::Scope::group && process.pgid != main_process->pgid) continue;
    if (!told_.contains(process.id)) untold_.push_back(process);
  }
  return tell_on(rung);
}

int Tree::tell_on(const core::Rung& rung) {
  const core::TimePoint until = core::Clock::now() + kTellingTime;
  int told = 0;
  while (!untold_.empty() && (told == 0 || core::Clock::now() < until)) {
    told_.insert(untold_.front().id);
    tell_one(untold_.front(), rung);
    untold_.pop_front();
    ++told;
  }
  if (untold_.empty() && cgroup_ != nullptr) cgroup_->thaw();  // a frozen process would hear nothing
  return told;
}

void Tree::tell_one(const core::ProcessStat& process, const core::Rung& rung) const {
  int signal = rung.signal;
  if (rung.if_ignored) {
    const auto masks = proc_.signal_masks(process.id.pid);
    if (masks && masks->ignores(signal)) signal = *rung.if_ignored;
  }
  // A process that is gone, or not ours to signal, is left to the last rung, which says so if it remains.
  (void)signal_process(proc_, process.id, signal);
  // A stopped process would hear it only when continued.
  if (process.state == 'T') (void)signal_process(proc_, process.id, SIGCONT);
}

/// By pid alone: nobody but us can reap our children, so their pids cannot be reused, and nothing but speed catches a
/// chain of processes that fork and exit for ever. But a group dies at one blow, forks included, and that of the main
/// command is still the same as long as one of our children is in it, be it dead.
void Tree::kill_some(const std::vector<pid_t>& children) const {
  const auto in_main_group = [this](pid_t pid) { return ::getpgid(pid) == main_; };
  if (main_leads_group_ && std::any_of(children.begin(), children.end(), in_main_group)) (void)::kill(-main_, SIGKILL);
  std::for_each(children.rbegin(), children.rend(), [](pid_t pid) { (void)::kill(pid, SIGKILL); });
}

/// Kills each part of the list as soon as it is read, then the children that were born or adopted meanwhile, until no
/// more come. False: there is more to do.
bool Tree::kill_children() {
  if (!chase_) {
    auto reader = proc_.own_children();
    if (!reader) {
      const auto children = proc_.children(::getpid());
      children_seen_ = children ? children->size() : 0;
      if (children) kill_some(*children);
      return true;
    }
    chase_.emplace(reader.take());
    chased_ = 0;
  }
  const core::TimePoint until = core::Clock::now() + kKillingTime;
  for (auto some = chase_->next(); !some.empty() && chased_ < kPassLimit; some = chase_->next()) {
    kill_some(some);
    chased_ += some.size();
    if (core::Clock::now() >= until) return false;
  }
  chase_.reset();
  children_seen_ = chased_;
  return true;
}

std::optional<core::Census> Tree::kill(core::TimePoint now) {
  if (!killing_) (void)begin_killing(false);
  if (cgroup_ != nullptr && !in_mid_kill()) {
    cgroup_->kill();
    if (!std::exchange(struck_, true)) {
      // Nobody in there forks any more. What a storm leaves us are zombies, thousands of them, and time spent on their
      // pids is lost: they are reaped first.
      const auto dead = children();
      children_seen_ = dead ? dead->size() : 0;
      if (children_seen_ > kStorm) {
        return core::Census{.living = static_cast<int>(children_seen_), .newest_kill = now};
      }
    }
  }
  // Children first. Not where there are strangers: a child that we see for the first time may be an orphan of theirs,
  // and only a closer look tells.
  if (!has_strangers_) {
    if (!kill_children()) return std::nullopt;
    if (children_seen_ > kStorm) {
      return core::Census{.living = static_cast<int>(children_seen_), .newest_kill = now};
    }
  } else if (const auto some = children()) {
    children_seen_ = some->size();
  }
  core::Census census;
  for (const core::ProcessStat& process : living()) {
    ++census.living;
    const auto [killed, first] = killed_.try_emplace(process.id, now);
    if (!census.newest_kill || killed->second > *census.newest_kill) census.newest_kill = killed->second;
    told_.insert(process.id);
    const auto sent = signal_process(proc_, process.id, SIGKILL);
    if (!sent && sent.error().code != ESRCH) refused_[process.id] = sent.error().code;
  }
  return census;
}

std::size_t Tree::count_children() const {
  const auto children = proc_.children(::getpid());
  return children ? children->size() : 0;
}

bool Tree::is_strange_child(pid_t pid) const {
  return std::any_of(strangers_.begin(), strangers_.end(),
                     [pid](const core::ProcessId& stranger) { return stranger.pid == pid; });
}

void Tree::forward_to_group(int signal, pid_t main) {
  const auto processes = living();
  const auto leader = std::find_if(processes.begin(), processes.end(),
                                   [&](const core::ProcessStat& process) { return process.id.pid == main; });
  if (leader == processes.end()) return;
  for (const core::ProcessStat& process : processes) {
    if (process.pgid == leader->pgid) (void)signal_process(proc_, process.id, signal);  // gone: nobody to hear it
  }
}

Tree::Standing Tree::standing() {
  return standing(living());
}

Tree::Standing Tree::standing(const std::vector<core::ProcessStat>& alive) const {
  Standing standing{.told = told(), .stayed = {}, .alive = static_cast<int>(alive.size())};
  std::copy_if(alive.begin(), alive.end(), std::back_inserter(standing.stayed),
               [this](const core::ProcessStat& process) { return told_.contains(process.id); });
  return standing;
}

/// Those told by the current rung that were alive when the kill came, as many as can be looked at in time.
std::vector<core::ProcessStat> Tree::killed_of_told() const {
  const core::TimePoint until = core::Clock::now() + kListingTime;
  std::vector<core::ProcessStat> alive;
  for (const core::ProcessId& id : told_) {
    if (core::Clock::now() >= until) break;
    auto process = proc_.stat(id.pid);
    if (!process || process->id != id) continue;
    const auto ended = sys::peek_ended(id.pid);
    const bool killed = ended && ended->info.si_code == CLD_KILLED && ended->info.si_status == SIGKILL;
    if (core::is_alive(*process) || killed) alive.push_back(process.take());
  }
  return alive;
}

/// Looks before the first kill, for what that ends is dead before a later look could count it. In a storm a process
/// that lives now is dead before its kill in any case, and each millisecond of looking is paid for by as many turns of
/// all the others. So there the kill of the cgroup, if there is one, comes first.
Tree::Standing Tree::begin_killing(bool backlog) {
  const bool in_storm = storm_ && backlog;
  if (in_storm && cgroup_ != nullptr) cgroup_->kill();
  const auto alive = in_storm ? killed_of_told() : living();
  Standing before = standing(alive);
  killing_ = true;
  untold_.clear();
  told_.clear();
  for (const core::ProcessStat& process : alive) told_.insert(process.id);
  return before;
}

std::vector<core::Survivor> Tree::survivors() {
  std::vector<core::Survivor> survivors;
  for (const core::ProcessStat& process : living()) {
    core::Survivor survivor{.pid = process.id.pid,
                            .comm = process.comm,
                            .state = process.state,
                            .wchan = proc_.wchan(process.id.pid),
                            .reason = {}};
    if (const auto refused = refused_.find(process.id); refused != refused_.end()) {
      survivor.reason = "SIGKILL was refused with " + sys::errno_name(refused->second) + ": it runs with other rights";
    } else if (process.state == 'D') {
      survivor.reason = "in uninterruptible sleep, SIGKILL waits until the kernel lets go of it";
    } else if (killed_.contains(process.id)) {
      survivor.reason = "still there after SIGKILL";
    } else {
      survivor.reason = "appeared too late to be killed in time";
    }
    survivors.push_back(std::move(survivor));
  }
  return survivors;
}

}  // namespace reapctl::engine
