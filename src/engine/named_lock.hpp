#pragma once

#include "engine/registry.hpp"
#include "sys/result.hpp"
#include "sys/unique_fd.hpp"

#include <string>
#include <vector>

namespace reapctl::engine {

/// The lock of --lock NAME: the file locks/NAME of a registry, never unlinked, with the id of the run that held it
/// last. The lock belongs to the open file, so guard and supervisor both hold it by the same descriptor, and the
/// command, which does not inherit that, never does.
///
/// A user may have two registries: the one of the system appears when root makes it, the other was there before. Then
/// the lock is taken in both, or two runs that chose differently would both have it.
class NamedLock {
 public:
  NamedLock() = default;

  /// Opens, and makes if need be, the file. Errors: no registry can be had, or it is read-only, full, not private.
  [[nodiscard]] static sys::Result<NamedLock> open(const RegistryPlaces& places, const std::string& name,
                                                   std::vector<std::string>& warnings);

  /// Takes it, without waiting; false when somebody else has it.
  [[nodiscard]] sys::Result<bool> try_take();
  void release();

  /// The ids of the runs that have signed it: the holder, or the last one. Empty when none has.
  [[nodiscard]] std::vector<std::string> signers() const;

  /// Writes down that `run_id` has it. To be called before the run is on record: then an id without a record says that
  /// nothing was started. Errors: ENOSPC, …
  [[nodiscard]] sys::Result<void> sign(const std::string& run_id) const;

  /// The registry that `run_id` is in; nullptr if it is in none.
  [[nodiscard]] const Registry* registry_of(const std::string& run_id) const;

  [[nodiscard]] std::vector<int> descriptors() const;

 private:
  struct Place {
    Registry registry;
    sys::UniqueFd directory;
    sys::UniqueFd file;
  };
  [[nodiscard]] sys::Result<bool> open_places();
  [[nodiscard]] sys::Result<bool> add(Registry registry);

  RegistryPlaces places_;
  std::string name_;
  std::vector<Place> open_;
};

}  // namespace reapctl::engine
