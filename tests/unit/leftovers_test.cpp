#include "engine/leftovers.hpp"

#include "support/call_stops.hpp"
#include "support/environment.hpp"
#include "support/removal.hpp"

#include <fcntl.h>
#include <filesystem>
#include <string>
#include <sys/resource.h>
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

TEST(Leftovers, AChainOfDirectoriesIsMeasuredWithFewDescriptors) {
  const test::TempDir directory;
  core::RunRecord record;
  record.run_id = "0123456789ABCDEF";
  const std::string work = directory / "reapctl-0123456789ABCDEF";
  for (const char* name : {"/a", "/b", "/c"}) {
    fs::create_directories(work + name);
    test::make_chain(work + name, 500);
    test::write_file(work + name + "/file", "x");
  }
  record.workdir.emplace().path = work;
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit few = before;
  few.rlim_cur = 128;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  const WorkdirSize size = measure_workdir(record);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(size.there);
  EXPECT_EQ(size.files, 3);
  // What is so deep that a path is too long for it goes by descriptor.
  const sys::UniqueFd parent(::open(directory.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  RemovalProgress progress;
  remove_directory(parent.get(), "reapctl-" + record.run_id, test::identity_of(work), progress);
  EXPECT_TRUE(progress.stats().complete);
}

}  // namespace
}  // namespace reapctl::engine
