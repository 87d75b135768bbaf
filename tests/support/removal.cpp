#include "support/removal.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

#include <gtest/gtest.h>

namespace reapctl::test {
namespace {

namespace fs = std::filesystem;

sys::UniqueFd open_directory(const std::string& path) {
  sys::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  EXPECT_TRUE(fd.valid()) << path << ": " << std::strerror(errno);
  return fd;
}

}  // namespace

sys::DirectoryIdentity identity_of(const std::string& path) {
  const sys::UniqueFd fd(::open(path.c_str(), O_PATH | O_CLOEXEC));
  auto identity = sys::directory_identity(fd.get());
  EXPECT_TRUE(identity.ok()) << path;
  return identity ? *identity : sys::DirectoryIdentity{};
}

engine::RemovalStats remove_tree(const std::string& path) {
  const fs::path root(path);
  const sys::UniqueFd parent = open_directory(root.parent_path());
  engine::RemovalProgress progress;
  engine::remove_directory(parent.get(), root.filename(), identity_of(path), progress);
  return progress.stats();
}

std::vector<std::string> errors_of(const engine::RemovalStats& stats) {
  std::vector<std::string> errors;
  for (const auto& error : stats.errors) errors.push_back(error.errno_name + " " + error.path);
  std::sort(errors.begin(), errors.end());
  return errors;
}

void make_chain(const std::string& path, int levels) {
  sys::UniqueFd at = open_directory(path);
  for (int i = 0; i < levels; ++i) {
    ASSERT_EQ(::mkdirat(at.get(), "d", 0700), 0) << std::strerror(errno);
    at.reset(::openat(at.get(), "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_TRUE(at.valid()) << std::strerror(errno);
  }
}

void make_files(const std::string& path, int count) {
  const sys::UniqueFd at = open_directory(path);
  for (int i = 0; i < count; ++i) {
    const sys::UniqueFd file(
        ::openat(at.get(), ("file" + std::to_string(i)).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    ASSERT_EQ(::write(file.get(), "x", 1), 1) << std::strerror(errno);
  }
}

void without_privileges(const std::function<void()>& work) {
  std::thread([&work] {
    // The raw calls concern this thread only, capset(2).
    __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    __user_cap_data_struct sets[2]{};
    ASSERT_EQ(::syscall(SYS_capget, &header, sets), 0);
    sets[0].effective &= ~(1U << CAP_DAC_OVERRIDE | 1U << CAP_DAC_READ_SEARCH);
    ASSERT_EQ(::syscall(SYS_capset, &header, sets), 0);
    work();
  }).join();
}

std::string with_own_mounts(const std::function<void()>& work) {
  std::string obstacle;
  std::thread([&] {
    if (::unshare(CLONE_NEWNS) != 0) {
      obstacle = std::string("no mount namespace here: ") + std::strerror(errno);
    } else if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
      obstacle = std::string("mounts cannot be made private here: ") + std::strerror(errno);
    } else {
      work();
    }
  }).join();
  return obstacle;
}

}  // namespace reapctl::test
