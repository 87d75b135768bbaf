#pragma once

#include "core/ladder.hpp"
#include "core/process.hpp"
#include "core/report.hpp"
#include "proc/proc_fs.hpp"
#include "sys/unique_fd.hpp"

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace reapctl::engine {

/// What became of a victim.
struct VictimEnd {
  core::ProcessStat process;          ///< as it was found
  std::string died_of;                ///< the last signal before it was gone; empty when it went by itself
  std::optional<core::Millis> after;  ///< from the request to its end; nullopt: it is alive
  std::string rung;
  std::string refused;  ///< errno name of a signal that could not be sent
};

/// One ladder for victims that are not our children. Each is held by a pidfd from when it was found, so that nothing
/// that happens to its pid can lead a signal astray.
class VictimLadder {
 public:
  /// All processes at one moment, and who of them is to go.
  struct Sight {
    std::vector<core::ProcessStat> victims;
    std::set<core::ProcessId> others;
    bool more = false;  ///< somebody else is there, or may be: chains of short lives slip through a look
  };
  /// Looks; called again until nobody new turns up.
  using Scan = std::function<Sight()>;

  /// `kill_groups` begins each pass of the last rung: it may kill many at one blow, but victims only.
  VictimLadder(const proc::ProcFs& proc, core::Ladder ladder, core::Millis limit, Scan scan,
               std::function<void()> kill_groups)
      : proc_(proc),
        ladder_(std::move(ladder)),
        limit_(limit),
        scan_(std::move(scan)),
        kill_groups_(std::move(kill_groups)) {}

  /// Until nobody is left, or nobody who can be killed.
  void run();

  [[nodiscard]] std::map<core::ProcessId, VictimEnd> ends() const;

 private:
  struct Held {
    core::ProcessStat process;
    sys::UniqueFd pid_fd;  ///< not valid when there are more victims than descriptors
    VictimEnd end;
    bool told = false;  ///< the current rung
    std::optional<core::TimePoint> killed_at;
  };

  void look();
  void adopt(core::ProcessStat process);
  void freeze_new();
  void notice_ends();
  [[nodiscard]] std::size_t living() const;
  [[nodiscard]] bool all_out_of_reach() const;
  [[nodiscard]] bool is_hopeless();
  void perform(core::LadderAction action);
  void tell();
  void kill();
  void send(Held& held, int signal);
  [[nodiscard]] int signal_for(const Held& held, const core::Rung& rung) const;
  void wait(core::TimePoint until);

  const proc::ProcFs& proc_;
  core::Ladder ladder_;
  core::Millis limit_;
  Scan scan_;
  std::function<void()> kill_groups_;
  core::LadderState state_;
  bool fleeting_ = false;  ///< the last look saw victims, all gone before they could be held: chains of short lives
  std::map<core::ProcessId, Held> held_;
  std::set<core::ProcessId> spared_;                      ///< seen, and no victims
  core::TimePoint hopeless_at_ = core::TimePoint::max();  ///< when those are given up whom no signal reaches
  core::TimePoint last_look_;
  core::Clock::duration look_cost_{};
};

}  // namespace reapctl::engine
