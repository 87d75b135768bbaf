#pragma once

#include <cstdlib>
#include <fcntl.h>
#include <string>
#include <string_view>
#include <unistd.h>

#include <gtest/gtest.h>

namespace reapctl::test {

/// Keeps a JSON document that a test produced for the test json_conforms_to_schema, which validates all of them against
/// SCHEMA.schema.json. Does nothing when REAPCTL_TEST_JSON_DIR is unset, as when a test binary is run by hand.
inline void keep_json(std::string_view schema, std::string_view document) {
  const char* directory = std::getenv("REAPCTL_TEST_JSON_DIR");
  if (directory == nullptr || *directory == '\0') return;
  // mkostemps, not the pid: tests run side by side, and some in a PID namespace of their own.
  std::string path = std::string(directory).append("/").append(schema).append("-XXXXXX.json");
  const int fd = ::mkostemps(path.data(), 5, O_CLOEXEC);
  ASSERT_GE(fd, 0) << path;
  EXPECT_EQ(::write(fd, document.data(), document.size()), static_cast<ssize_t>(document.size())) << path;
  EXPECT_EQ(::close(fd), 0) << path;
}

}  // namespace reapctl::test
