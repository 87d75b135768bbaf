#pragma once

#include "core/time.hpp"
#include "engine/registration.hpp"
#include "engine/tree.hpp"

#include <optional>

namespace reapctl::engine {

/// Keeps on record which processes have become our children while the command runs. A process with a cleared
/// environment is known by descent alone; when we are killed it becomes the child of somebody else, and only the record
/// tells of it. The kernel reports no adoption, so this looks now and then: soon after the start, when daemons are
/// started, and then ever more seldom, so that neither a run of hours nor a chain that forks for ever makes it write
/// often.
class AdoptionWatch {
 public:
  AdoptionWatch(Tree& tree, Registration& registration) : tree_(tree), registration_(registration) {}

  /// From now on. Without this, nobody is looked for.
  void begin(core::TimePoint now);

  /// When to look; nullopt: never.
  [[nodiscard]] std::optional<core::TimePoint> next() const { return next_; }

  /// Looks, if it is time.
  void look(core::TimePoint now);

 private:
  Tree& tree_;
  Registration& registration_;
  std::optional<core::TimePoint> next_;
  core::Millis interval_{};
};

}  // namespace reapctl::engine
