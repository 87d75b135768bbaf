#pragma once

#include "sys/unique_fd.hpp"

#include <fcntl.h>
#include <stdexcept>
#include <string>
#include <unistd.h>

namespace reapctl::test {

/// Both ends close-on-exec.
struct Pipe {
  Pipe() {
    int ends[2] = {-1, -1};
    if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
    reader.reset(ends[0]);
    writer.reset(ends[1]);
  }

  /// Puts in as much as fits, without waiting. Returns how much that was.
  std::size_t fill() {
    const std::string block(4096, 'x');
    std::size_t total = 0;
    (void)::fcntl(writer.get(), F_SETFL, O_NONBLOCK);
    for (ssize_t count = 0; (count = ::write(writer.get(), block.data(), block.size())) > 0;) {
      total += static_cast<std::size_t>(count);
    }
    (void)::fcntl(writer.get(), F_SETFL, 0);
    return total;
  }

  /// To the end of file.
  [[nodiscard]] std::string drain() const {
    std::string text;
    char bytes[4096];
    for (ssize_t count = 0; (count = ::read(reader.get(), bytes, sizeof bytes)) > 0;) {
      text.append(bytes, static_cast<std::size_t>(count));
    }
    return text;
  }

  sys::UniqueFd reader;
  sys::UniqueFd writer;
};

}  // namespace reapctl::test
