#pragma once

#include "core/time.hpp"
#include "engine/registration.hpp"
#include "engine/tree.hpp"

#include <optional>

namespace reapctl::engine {

/// Keeps on record who has become our child while the command runs. When nothing but descent says whose a process is,
/// for its environment was cleared, and we are killed, nothing does any more: it is a child of somebody else then. The
/// kernel tells nobody of an adoption, so this looks now and then: soon after the start, when daemons are started, and
/// ever more seldom, so that neither a run of hours nor a chain that forks for ever makes it write often.
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
