#pragma once

#include "core/report.hpp"
#include "core/time.hpp"
#include "sys/directory.hpp"
#include "sys/result.hpp"
#include "sys/unique_fd.hpp"

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

/// Deletes a work directory that others filled, and may still be changing, without harming anything outside of it.
namespace reapctl::engine {

using sys::DirectoryIdentity;

struct RemovalCounts {
  std::int64_t files = 0;        ///< everything that is not a directory
  std::int64_t directories = 0;  ///< the work directory itself included
  std::int64_t bytes = 0;        ///< blocks that became free: of a file with several names, with the last of them
};

struct RemovalStats {
  RemovalCounts counts;
  std::vector<core::WorkdirError> errors;  ///< at most core::kListLimit; paths begin with the directory's name
  std::int64_t errors_total = 0;
  std::vector<std::string> remarks;  ///< of a job: which of its paths stay, and why
  int threads = 0;                   ///< most that worked at once
  bool complete = false;             ///< the directory is gone; of a job without one: it has ended
};

/// What a removal has done so far, and the wish that it stop. Any thread may use any part of it at any time.
class RemovalProgress {
 public:
  [[nodiscard]] RemovalCounts counts() const;
  /// Counts and errors so far; `complete` once the directory is gone.
  [[nodiscard]] RemovalStats stats() const;

  /// Asks for an end. Takes effect between two system calls.
  void stop() { stop_.request_stop(); }
  [[nodiscard]] bool stopping() const { return stop_.stop_requested(); }
  [[nodiscard]] std::stop_token stop_token() const { return stop_.get_token(); }

  // What follows is for the remover itself.
  void add_file(std::int64_t bytes) {
    files_.fetch_add(1, std::memory_order_relaxed);
    bytes_.fetch_add(bytes, std::memory_order_relaxed);
  }
  void add_directory(std::int64_t bytes) {
    directories_.fetch_add(1, std::memory_order_relaxed);
    bytes_.fetch_add(bytes, std::memory_order_relaxed);
  }
  void add_error(std::string path, int code);
  void add_remark(std::string text);
  void set_threads(int threads);
  void set_complete();

 private:
  std::atomic<std::int64_t> files_{0};
  std::atomic<std::int64_t> directories_{0};
  std::atomic<std::int64_t> bytes_{0};
  std::stop_source stop_;
  mutable std::mutex mutex_;  ///< never held over a system call: stats() must not wait for a dead file server
  RemovalStats result_;       ///< all but the counts
};

/// Deletes the directory `name` inside `parent_fd` with everything in it, if it is the one `expected`; else nothing is
/// touched and the error is ESTALE. Blocks. What cannot be deleted is reported, what surrounds it is deleted: EXDEV is
/// something mounted in it, ENOTEMPTY a directory that others kept filling. An absent directory is a complete removal.
void remove_directory(int parent_fd, const std::string& name, const DirectoryIdentity& expected,
                      RemovalProgress& progress);

/// Removes the directory `name` inside `parent_fd` if it is empty, never grew beyond a block, and is both `expected`
/// and `directory_fd`, which nobody has read yet; else nullopt, and nothing was done. What it takes is one rmdir(2).
[[nodiscard]] std::optional<RemovalStats> remove_if_empty(int parent_fd, const std::string& name, int directory_fd,
                                                          const DirectoryIdentity& expected);

/// Whether a thread that deletes exists in this process, be it one that hangs and was left behind. Then nobody may
/// fork: the child would have whatever locks the thread held, and nobody to release them (fork(2)).
[[nodiscard]] bool removal_threads_exist();

class TreeRemover;

/// What a job removes, in this order.
struct RemovalOrder {
  std::vector<std::string> paths;  ///< no directories, and none that is a socket in use
  sys::UniqueFd parent;            ///< the directory that holds `name`
  std::string name;                ///< of a directory with everything in it; empty for none
  DirectoryIdentity expected;
};

/// A removal on a thread of its own, with every signal blocked there. Where there can be no thread (EAGAIN: a limit on
/// processes counts threads), start() does the paths, and ended() the directory bit by bit, so that whoever waits can
/// see to other things in between.
class RemovalJob {
 public:
  /// Errors: no eventfd.
  [[nodiscard]] static sys::Result<RemovalJob> start(RemovalOrder order);
  RemovalJob(RemovalJob&&) noexcept;
  RemovalJob& operator=(RemovalJob&&) = delete;
  /// Abandons a removal whose result nobody took.
  ~RemovalJob();

  /// An eventfd, readable once the removal has ended; without a thread, at any time.
  [[nodiscard]] int completion_fd() const { return state_->done.get(); }
  /// Whether it has ended; to be called when completion_fd is readable. Without a thread this does the next part of it,
  /// which takes about kPart, if no call to the file system takes longer.
  [[nodiscard]] bool ended();
  static constexpr core::Millis kPart{2};
  [[nodiscard]] RemovalCounts counts() const { return state_->progress.counts(); }
  /// Waits for the end and for the threads to be gone (after ended(): at once).
  [[nodiscard]] RemovalStats take_result();
  /// Asks the threads to stop and returns without waiting for them: one that hangs on a dead file server stays behind,
  /// healthy ones stop after their current system call. Returns what was done until now.
  RemovalStats abandon();

 private:
  /// Belongs to the threads as much as to us: one that was left behind may still be using it.
  struct State {
    RemovalOrder order;
    sys::UniqueFd done;
    RemovalProgress progress;
  };

  explicit RemovalJob(std::shared_ptr<State> state);
  static void remove_paths(State& state);

  std::shared_ptr<State> state_;
  std::thread thread_;
  std::unique_ptr<TreeRemover> remover_;  ///< where there can be no thread
};

}  // namespace reapctl::engine
