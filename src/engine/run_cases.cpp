#include "engine/run_cases.hpp"

#include "sys/file_lock.hpp"
#include "sys/passwd.hpp"

#include <cerrno>
#include <fcntl.h>
#include <map>
#include <set>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace reapctl::engine {
namespace {

core::Verdict judge(const proc::ProcFs& proc, const Here& here, const RegistryEntry& entry) {
  if (entry.record) return core::verdict(*entry.record, observe(proc, here, *entry.record, entry.lock));
  // Without a record nothing has been started yet: a start in progress holds the lock, one that was cut short does not.
  if (entry.empty) return entry.lock == core::LockState::held ? core::Verdict::active : core::Verdict::orphaned;
  return core::Verdict::unknown;
}

/// How much another user can make root look at: so many runs, or the bytes that so many have as a rule.
constexpr std::size_t kOthersEntries = 4096;
constexpr std::size_t kOthersBytes = kOthersEntries * 4096;

/// Ids are no secret: another user may give an entry the id of a run of ours. It is not believed.
void doubt_copied_ids(RunCases& all) {
  std::set<std::string> own;
  for (const RunCase& run : all.cases) {
    if (run.entry.owner == ::geteuid()) own.insert(run.entry.run_id);
  }
  for (RunCase& run : all.cases) {
    if (run.entry.owner == ::geteuid() || !own.contains(run.entry.run_id)) continue;
    run.entry.record.reset();
    run.entry.problem = "it has the id of another run";
    run.verdict = core::Verdict::unknown;
  }
}

Claim failed(RunCase& run, const sys::Error& error) {
  run.obstacle = error.message();
  return Claim::failed;
}

bool same_file(int fd, int directory_fd, const char* name) {
  struct stat open {};
  struct stat named {};
  return ::fstat(fd, &open) == 0 && ::fstatat(directory_fd, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
         open.st_dev == named.st_dev && open.st_ino == named.st_ino;
}

/// Neither record nor lock: a start that was cut short, or is about to make its lock, or an end that is about to take
/// the directory away. None of them is disturbed, for a directory goes only while it is empty, and a start makes it
/// anew.
Claim remove_bare(const Registry& registry, RunCase& run) {
  if (::unlinkat(registry.fd(), run.entry.run_id.c_str(), AT_REMOVEDIR) == 0) return Claim::bare;
  if (errno == ENOENT) return Claim::gone;
  const auto error = sys::last_error("remove", run.entry.path);
  struct stat status {};
  const std::string lock = run.entry.run_id + "/" + kLockFile;
  const bool just_made = ::fstatat(registry.fd(), lock.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0;
  return just_made ? Claim::busy : failed(run, error);
}

}  // namespace

std::string name_of_user(uid_t uid) {
  static std::map<uid_t, std::string> known;
  const auto found = known.find(uid);
  if (found != known.end()) return found->second;
  return known[uid] = sys::user_name(uid);
}

RunCases::Owning RunCases::owning() const {
  Owning owning;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const RunCase& each = cases[i];
    if (!each.record() || each.verdict == core::Verdict::gone || each.verdict == core::Verdict::foreign) continue;
    std::optional<uid_t> only_of;
    if (each.entry.owner != ::geteuid()) only_of = each.entry.owner;
    owning.runs.push_back({.record = *each.record(), .verdict = each.verdict, .only_of = only_of});
    owning.case_of_run.push_back(i);
  }
  return owning;
}

RunCases read_cases(const proc::ProcFs& proc, std::vector<Registry> registries, const core::RecordCodec& codec) {
  RunCases all;
  all.here = read_here(proc);
  all.registries = std::move(registries);
  for (std::size_t i = 0; i < all.registries.size(); ++i) {
    const auto ids = all.registries[i].run_ids();
    if (!ids) {
      all.warnings.push_back(all.registries[i].path() + " cannot be read: " + ids.error().message());
      continue;
    }
    const bool own = all.registries[i].owner() == ::geteuid();
    std::size_t looked_at = 0;
    std::size_t bytes = 0;
    for (const std::string& id : *ids) {
      if (!own && (looked_at == kOthersEntries || bytes >= kOthersBytes)) {
        all.warnings.push_back(all.registries[i].path() + " holds " + std::to_string(ids->size()) +
                               " runs, of which only " + std::to_string(looked_at) + " were looked at");
        break;
      }
      ++looked_at;
      auto entry = read_entry(all.registries[i], id, codec);
      if (!entry) continue;
      bytes += entry->size;
      const core::Verdict verdict = judge(proc, all.here, *entry);
      all.cases.push_back({.registry = i, .entry = *std::move(entry), .verdict = verdict, .directory = {}, .lock = {}});
    }
  }
  doubt_copied_ids(all);
  return all;
}

std::optional<core::OwningRun> find_active(const proc::ProcFs& proc, const RunCases& cases, const std::string& run_id,
                                           const core::RecordCodec& codec) {
  for (const Registry& registry : cases.registries) {
    auto entry = read_entry(registry, run_id, codec);
    if (!entry || !entry->record || judge(proc, cases.here, *entry) != core::Verdict::active) continue;
    std::optional<uid_t> only_of;
    if (entry->owner != ::geteuid()) only_of = entry->owner;
    return core::OwningRun{.record = *std::move(entry->record), .verdict = core::Verdict::active, .only_of = only_of};
  }
  return std::nullopt;
}

bool refresh(const proc::ProcFs& proc, const RunCases& cases, RunCase& run, const core::RecordCodec& codec) {
  auto entry = read_entry(cases.registries[run.registry], run.entry.run_id, codec);
  if (!entry) return false;
  // Our own lock shows as held as well: it belongs to another open file.
  if (run.lock.valid()) entry->lock = core::LockState::free;
  run.entry = *std::move(entry);
  run.verdict = judge(proc, cases.here, run.entry);
  return true;
}

Claim claim(const proc::ProcFs& proc, const RunCases& cases, RunCase& run, const core::RecordCodec& codec) {
  const Registry& registry = cases.registries[run.registry];
  auto directory = open_run_directory(registry, run.entry.run_id);
  if (!directory) return directory.error().code == ENOENT ? Claim::gone : failed(run, directory.error());
  sys::UniqueFd lock(::openat(directory->get(), kLockFile, O_RDWR | O_NOFOLLOW | O_CLOEXEC));
  if (!lock.valid() && errno == ENOENT && run.entry.empty) return remove_bare(registry, run);
  if (!lock.valid() && errno == EROFS) {
    // Nobody can begin a run there, and of two sweeps the second finds nobody left to kill: to look is enough.
    lock.reset(::openat(directory->get(), kLockFile, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    const auto locked = lock.valid() ? sys::is_locked(lock.get()) : sys::Result<bool>(sys::last_error("open its lock"));
    if (!locked) return failed(run, locked.error());
    if (*locked) return Claim::busy;
  } else if (!lock.valid()) {
    return errno == ENOENT ? Claim::gone : failed(run, sys::last_error("open its lock"));
  } else if (const auto taken = sys::take_lock(lock.get()); !taken) {
    return taken.error().code == EAGAIN ? Claim::busy : failed(run, taken.error());
  }
  if (!same_file(lock.get(), directory->get(), kLockFile) ||
      !same_file(directory->get(), registry.fd(), run.entry.run_id.c_str())) {
    return Claim::gone;
  }
  run.directory = directory.take();
  run.lock = std::move(lock);
  if (refresh(proc, cases, run, codec)) return Claim::taken;
  run.lock.reset();
  run.directory.reset();
  return Claim::gone;
}

}  // namespace reapctl::engine
