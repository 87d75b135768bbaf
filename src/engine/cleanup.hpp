#pragma once

#include "core/plan.hpp"
#include "core/report.hpp"
#include "core/time.hpp"
#include "engine/remover.hpp"
#include "engine/workdir.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace reapctl::engine {

/// What goes when everything is dead: the paths of --remove and the work directory, on a helper thread.
class Cleanup {
 public:
  Cleanup(const core::RunPlan& plan, std::optional<Workdir>& workdir, std::vector<std::string>& warnings)
      : plan_(plan), workdir_(workdir), warnings_(warnings) {}

  /// Begins. Returns a descriptor that becomes readable when all is gone, or -1 if nothing is left to wait for.
  int start(bool succeeded, core::TimePoint now);

  /// Whether it has ended; to be asked when the descriptor is readable.
  [[nodiscard]] bool ended() { return !job_ || job_->ended(); }

  /// Ends it: for good, or because time is up.
  void finish(bool abandon, core::TimePoint now);

  /// Whether the directory is going right now.
  [[nodiscard]] bool is_deleting() const { return job_ && workdir_ && !kept_; }

  /// How many files have gone so far; of a removal that goes on.
  [[nodiscard]] std::int64_t files_removed() const { return job_ ? job_->counts().files : 0; }

  /// Whether it was begun, and all is gone that should be.
  [[nodiscard]] bool complete() const { return complete_; }

  /// What became of the directory; nullopt if there never was one.
  [[nodiscard]] std::optional<core::WorkdirReport> report() const;

 private:
  [[nodiscard]] bool keep(bool succeeded) const;

  const core::RunPlan& plan_;
  std::optional<Workdir>& workdir_;
  std::vector<std::string>& warnings_;
  std::optional<RemovalJob> job_;
  std::optional<RemovalStats> stats_;  ///< of the directory
  bool kept_ = false;                  ///< as --keep-workdir wants it
  bool complete_ = false;
  core::TimePoint started_at_;
  core::Millis duration_{};
};

}  // namespace reapctl::engine
