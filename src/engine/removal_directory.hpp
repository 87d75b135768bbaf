#pragma once

#include "sys/directory.hpp"
#include "sys/result.hpp"
#include "sys/unique_fd.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>

namespace reapctl::engine {

/// A few entries of one directory, copied, so that the directory's buffer can be filled again meanwhile: either files,
/// or exactly one that may be a directory, so that the thread that works on it opens one at most.
struct EntrySlice {
  static constexpr int kMaxEntries = 16;
  alignas(8) std::array<std::byte, 4096> records;
  std::size_t size = 0;
  [[nodiscard]] sys::EntryCursor entries() const { return sys::EntryCursor(std::span(records).first(size)); }
};

/// A directory that is being emptied, by any number of threads at once. It counts what still has to happen before it
/// can be removed: the rest of its stream of entries, the slices that somebody is working on, and the directories that
/// were opened in it. The thread that brings the count to zero removes it.
class RemovalDirectory {
 public:
  using Ptr = std::shared_ptr<RemovalDirectory>;

  /// `above` is null for the work directory; `name` is its name there.
  RemovalDirectory(sys::UniqueFd fd, std::string name, Ptr above);

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const Ptr& above() const { return above_; }
  [[nodiscard]] int depth() const { return depth_; }
  /// For messages: from the work directory's name down to `entry`.
  [[nodiscard]] std::string path_of(std::string_view entry) const;

  enum class Claim {
    slice,  ///< work on it, then call drop()
    end,    ///< there is nothing more, and this caller is the first to know: call drop()
    ended,  ///< there is nothing more
  };
  /// Takes the next few entries. Reads further ones when needed; an error there also ends the stream.
  [[nodiscard]] sys::Result<Claim> claim(EntrySlice& slice);
  /// Whether claim() would find nothing; a glance, for those who look for work.
  [[nodiscard]] bool ended() const { return ended_.load(std::memory_order_relaxed); }

  /// One more thing to wait for.
  void hold() { pending_.fetch_add(1, std::memory_order_relaxed); }
  /// One thing less. True for the last one: everything that others did in here has happened before.
  [[nodiscard]] bool drop() { return pending_.fetch_sub(1, std::memory_order_acq_rel) == 1; }

  /// Something in it could not be deleted, so neither can it.
  void keep() { kept_.store(true, std::memory_order_relaxed); }
  [[nodiscard]] bool kept() const { return kept_.load(std::memory_order_relaxed); }

  /// True while it is read for the first time.
  [[nodiscard]] bool first_scan() const { return scans_.load(std::memory_order_relaxed) == 1; }
  /// After the last drop(): starts the stream again, for what appeared since; false if that was done often enough.
  [[nodiscard]] bool read_again();

  /// Lets us read, search and write it.
  [[nodiscard]] bool make_passable() const;

 private:
  const sys::UniqueFd fd_;
  const std::string name_;
  const Ptr above_;
  const int depth_;
  std::atomic<int> pending_{1};  // the stream
  std::atomic<bool> kept_{false};
  std::atomic<int> scans_{1};

  std::mutex mutex_;  ///< guards the stream: what follows
  std::unique_ptr<std::byte[]> buffer_;
  std::size_t buffer_size_ = 0;
  std::size_t filled_ = 0;
  std::span<const std::byte> unclaimed_;
  std::atomic<bool> ended_{false};  ///< written under the mutex

  [[nodiscard]] sys::Result<bool> fill();
  void take_slice(EntrySlice& slice);
};

}  // namespace reapctl::engine
