#include "core/removal_display.hpp"

#include <algorithm>

namespace reapctl::core {

std::optional<std::string> RemovalDisplay::line(TimePoint now, std::int64_t files) {
  if (now < next_) return std::nullopt;
  const auto passed = std::max<std::int64_t>(to_millis(now - since_).count(), 1);
  const std::int64_t rate = (files - files_) * 1000 / passed;
  since_ = now;
  files_ = files;
  next_ = now + kInterval;
  return "reapctl: deleting the working directory: " + std::to_string(files) + " files, " + std::to_string(rate) + "/s";
}

}  // namespace reapctl::core
