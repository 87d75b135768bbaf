#pragma once

#include "engine/removal_directory.hpp"

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <stop_token>
#include <vector>

namespace reapctl::engine {

/// Where threads that have nothing to do find something: every directory whose stream has not ended, and the
/// directories that were lifted into the work directory, which are numbered from 0.
class RemovalBoard {
 public:
  void add(RemovalDirectory::Ptr directory);
  /// Its stream has ended.
  void remove(const RemovalDirectory& directory);
  /// The next number was lifted.
  void add_lifted();
  /// Everything is done: take() returns nothing from now on.
  void close();

  struct Work {
    RemovalDirectory::Ptr directory;  ///< or, when null:
    std::int64_t lifted = 0;          ///< a number, given to nobody else
  };
  /// Waits until there is something to do, everything is done, or a stop is requested. Prefers the directory that
  /// was opened first: it is high up in the tree and its subdirectories are a thread's own to work in.
  [[nodiscard]] std::optional<Work> take(const std::stop_token& stop);

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::vector<RemovalDirectory::Ptr> open_;
  std::int64_t lifted_ = 0;
  std::int64_t lifted_taken_ = 0;
  int waiting_ = 0;
  bool closed_ = false;
};

}  // namespace reapctl::engine
