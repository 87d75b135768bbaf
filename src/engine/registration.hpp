#pragma once

#include "core/plan.hpp"
#include "core/record.hpp"
#include "engine/registry.hpp"
#include "engine/run_cgroup.hpp"
#include "engine/workdir.hpp"
#include "proc/proc_fs.hpp"
#include "sys/result.hpp"
#include "sys/unique_fd.hpp"

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace reapctl::engine {

/// What the new process needs to put itself on record before it becomes the command: fact "on record before it runs".
struct MainNote {
  int fd = -1;                     ///< the record, open for writing; -1: there is none
  std::vector<int> lock_fds = {};  ///< the lock of the run and that of --lock, of which it has copies
  std::size_t offset = 0;
  std::size_t size = 0;
  void (*fill)(std::span<char> slot, const core::MainOnRecord& main) = nullptr;
};

/// The entry of one run in the registry, from before anything else of the run exists until nothing of it is left. If a
/// registry cannot be had or written, there is a warning, the run goes on, and everything else here does nothing.
///
/// Order of a start, so that killing reapctl at any point leaves nothing that no record leads to: directory, lock,
/// record with the paths of cgroup and work directory; the two; record with their identities; the new process, which
/// holds the lock too until then, writes down who it is; exec. From there on its identity is on record.
class Registration {
 public:
  Registration(RegistryPlaces places, const core::RecordCodec& codec, std::vector<std::string>& warnings)
      : places_(std::move(places)), codec_(codec), warnings_(warnings) {}

  /// Makes the run's directory and takes its lock. The descriptor of the lock is inherited over fork, and every copy
  /// of it holds the lock.
  void open(const std::string& run_id);

  /// Puts the run on record. What `record` says can be changed later by way of `change`.
  void begin(core::RunRecord record);

  /// Whether `open` has made it a place.
  [[nodiscard]] bool has_place() const { return lock_.valid(); }

  /// Whether it is there now.
  [[nodiscard]] bool on_record() const { return record_file_.valid(); }

  /// Work directory and cgroup exist now, or do not (nullopt), and this process is the supervisor. The one that began
  /// the record, if it is another, is the guard.
  void complete(const std::optional<Workdir>& workdir, const std::optional<RunCgroup>& cgroup,
                const proc::ProcFs& proc);

  /// The supervisor is dead, and this process, which began the record, goes on from what the supervisor has made of it:
  /// that leads to more than was known at the fork. `main` is the command if it lives; it may have had no time to write
  /// itself down.
  void take_over(const std::optional<core::MainOnRecord>& main);

  /// The cgroup could not be used and has gone again. The record says so the next time it is written.
  void forget_cgroup() { record_.cgroup.reset(); }

  [[nodiscard]] MainNote main_note() const;

  /// The command runs: `main` is what it wrote down itself.
  void running(const std::optional<core::MainOnRecord>& main, core::Origin origin);
  /// Puts processes on record to which nothing else leads: they have outlived the main command, or lost their parents.
  /// Writes only if that is new.
  void leave(std::vector<core::ProcessId> leftovers);
  [[nodiscard]] const std::vector<core::ProcessId>& leftovers() const { return record_.leftovers; }
  void stopping() { change_state(core::RecordState::stopping); }
  void released() { change_state(core::RecordState::released); }

  /// Nothing of the run is left: takes it off the record.
  void remove();
  /// Closes what the other reapctl process has dealt with. The run is not ours any more.
  void let_go();

  /// What must stay open while the run lasts.
  [[nodiscard]] std::vector<int> descriptors() const;

 private:
  [[nodiscard]] sys::Result<void> make_directory(const std::string& run_id);
  void change_state(core::RecordState state);
  void write();
  [[nodiscard]] sys::Result<void> store();
  void give_up(const sys::Error& error);

  RegistryPlaces places_;
  const core::RecordCodec& codec_;
  std::vector<std::string>& warnings_;
  std::optional<Registry> registry_;
  std::string run_id_;
  sys::UniqueFd directory_;
  sys::UniqueFd lock_;
  core::RunRecord record_;
  sys::UniqueFd record_file_;
  core::EncodedRecord encoded_;
  std::size_t stored_size_ = 0;
};

/// Takes an entry off the registry: the record first, for without one the rest means nothing.
[[nodiscard]] sys::Result<void> remove_entry(const Registry& registry, const std::string& run_id, int directory_fd);

}  // namespace reapctl::engine
