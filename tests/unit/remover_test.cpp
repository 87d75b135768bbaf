#include "engine/remover.hpp"

#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <poll.h>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace reapctl::engine {
namespace {

TEST(RemovalJob, DeletesATreeAndSaysSoOnItsEventfd) {
  std::string base = std::filesystem::temp_directory_path() / "remover-XXXXXX";
  ASSERT_NE(::mkdtemp(base.data()), nullptr);
  const std::filesystem::path root(base);
  std::filesystem::create_directories(root / "a/b/c");
  std::ofstream(root / "a/b/file") << "text";
  std::filesystem::create_symlink("/", root / "link");
  ASSERT_EQ(::mkfifo((root / "fifo").c_str(), 0600), 0);
  sys::UniqueFd parent(::open(root.parent_path().c_str(), O_PATH | O_CLOEXEC));
  const auto identity = sys::directory_identity(sys::UniqueFd(::open(root.c_str(), O_PATH | O_CLOEXEC)).get());
  ASSERT_TRUE(identity.ok());

  auto job = RemovalJob::start(std::move(parent), root.filename(), *identity);
  ASSERT_TRUE(job.ok());
  pollfd done{.fd = job->completion_fd(), .events = POLLIN, .revents = 0};
  ASSERT_EQ(::poll(&done, 1, -1), 1);

  const RemovalStats stats = job->take_result();
  EXPECT_TRUE(stats.complete);
  EXPECT_EQ(stats.counts.files, 3);
  EXPECT_EQ(stats.counts.directories, 4);
  EXPECT_FALSE(std::filesystem::exists(root));
}

}  // namespace
}  // namespace reapctl::engine
