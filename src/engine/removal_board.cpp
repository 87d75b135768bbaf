#include "engine/removal_board.hpp"

#include <algorithm>
#include <utility>

namespace reapctl::engine {

void RemovalBoard::add(RemovalDirectory::Ptr directory) {
  const std::lock_guard lock(mutex_);
  open_.push_back(std::move(directory));
  if (waiting_ > 0) changed_.notify_one();
}

void RemovalBoard::remove(const RemovalDirectory& directory) {
  const std::lock_guard lock(mutex_);
  // From the back: the one that ends is mostly the one that was opened last.
  const auto found =
      std::find_if(open_.rbegin(), open_.rend(), [&](const auto& one) { return one.get() == &directory; });
  if (found != open_.rend()) open_.erase(std::next(found).base());
}

void RemovalBoard::add_lifted() {
  const std::lock_guard lock(mutex_);
  ++lifted_;
  if (waiting_ > 0) changed_.notify_one();
}

void RemovalBoard::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  changed_.notify_all();
}

std::optional<RemovalBoard::Work> RemovalBoard::take(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  auto found = open_.end();
  const auto something_to_do = [&] {
    // A thread that saw a stream end is on its way to remove(): to take that directory would only hold up the mutex.
    found = std::find_if(open_.begin(), open_.end(), [](const auto& one) { return !one->ended(); });
    return closed_ || found != open_.end() || lifted_taken_ < lifted_;
  };
  ++waiting_;
  const bool ready = changed_.wait(lock, stop, something_to_do);
  --waiting_;
  if (!ready || closed_) return std::nullopt;
  if (found != open_.end()) return Work{.directory = *found};
  return Work{.directory = nullptr, .lifted = lifted_taken_++};
}

}  // namespace reapctl::engine
