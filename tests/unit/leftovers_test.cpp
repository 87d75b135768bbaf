#include "engine/leftovers.hpp"

#include "support/call_stops.hpp"
#include "support/environment.hpp"

#include <filesystem>
#include <string>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <gtest/gtest.h>

namespace reapctl::engine {
namespace {

namespace fs = std::filesystem;

/// A --remove path below a link that somebody else exchanges at any call that opens something.
TEST(Leftovers, WhatIsUnlinkedIsWhatWasLookedAt) {
  REQUIRE_CALL_STOPS();
  for (int exchange_at = 0; exchange_at < 3; ++exchange_at) {
    const test::TempDir directory;
    for (const char* name : {"real", "precious"}) {
      fs::create_directory(directory / name);
      test::write_file(directory / name + "/file", "x");
    }
    struct stat parent {};
    ASSERT_EQ(::stat((directory / "real").c_str(), &parent), 0);
    fs::create_directory_symlink(directory / "precious", directory / "link");
    core::RunRecord record;
    record.remove = {{.path = directory / "link/file", .parent_device = parent.st_dev, .parent_inode = parent.st_ino}};
    int opened = 0;
    const auto work = [&record] {
      (void)remove_leftovers(record, {}, core::Clock::now() + core::Millis(1000), [](std::string_view) {});
    };
    test::run_with_stops({SYS_openat}, work, [&](const test::PendingCall& call) {
      if (!call.name().starts_with(directory / "link/")) return 0;
      if (opened++ == exchange_at) {
        fs::remove(directory / "link");
        fs::create_directory_symlink(directory / "real", directory / "link");
      }
      return 0;
    });
    EXPECT_GT(opened, 0);
    EXPECT_TRUE(fs::exists(directory / "precious/file")) << "exchanged at call " << exchange_at;
  }
}

}  // namespace
}  // namespace reapctl::engine
