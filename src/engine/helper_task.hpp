#pragma once

#include "sys/result.hpp"
#include "sys/unique_fd.hpp"

#include <functional>
#include <string>
#include <sys/types.h>

namespace reapctl::engine {

/// Work that may take a while, or for ever, in a child process, so that this one goes on. The child has a process group
/// of its own, no descriptor of ours but a terminal at stderr, and dies with this process, or with this object; if the
/// kernel does not let go of it, it is left behind.
class HelperTask {
 public:
  /// Errors: those of pipe2(2) and fork(2).
  [[nodiscard]] static sys::Result<HelperTask> start(const std::function<std::string()>& work);

  HelperTask(HelperTask&& other) noexcept;
  HelperTask& operator=(HelperTask&&) = delete;
  HelperTask(const HelperTask&) = delete;
  HelperTask& operator=(const HelperTask&) = delete;
  ~HelperTask();

  /// Readable when the work is done.
  [[nodiscard]] int completion_fd() const { return result_.get(); }

  /// What the work returned. Error: the child died over it. Waits for that.
  [[nodiscard]] sys::Result<std::string> take_result();

 private:
  HelperTask(pid_t pid, sys::UniqueFd result) : pid_(pid), result_(std::move(result)) {}

  pid_t pid_ = -1;
  sys::UniqueFd result_;
};

}  // namespace reapctl::engine
