#include "engine/named_lock.hpp"

#include "support/registry_places.hpp"

#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace reapctl::engine {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class NamedLockTest : public test::WithRegistryPlaces {
 protected:
  NamedLock open(const std::string& name = "backup") {
    auto lock = NamedLock::open(places_, name, warnings_);
    EXPECT_TRUE(lock) << (lock ? "" : lock.error().message());
    return lock ? lock.take() : NamedLock();
  }

  static bool take(NamedLock& lock) {
    const auto taken = lock.try_take();
    EXPECT_TRUE(taken) << (taken ? "" : taken.error().message());
    return taken && *taken;
  }
};

TEST_F(NamedLockTest, OneHasItUntilItLetsGoAndTheFileStays) {
  NamedLock first = open();
  NamedLock second = open();
  NamedLock other = open("other");
  EXPECT_TRUE(take(first));
  EXPECT_FALSE(take(second));
  EXPECT_TRUE(take(other)) << "another name is another lock";
  first.release();
  EXPECT_TRUE(take(second));
  second = NamedLock();
  EXPECT_TRUE(take(first));
  EXPECT_TRUE(fs::exists(places_.system + "/" + std::to_string(::geteuid()) + "/locks/backup") ||
              fs::exists(temporary_ + "/locks/backup"));
}

TEST_F(NamedLockTest, ItsFileSaysWhoHadItLast) {
  NamedLock lock = open();
  EXPECT_THAT(lock.signers(), IsEmpty());
  ASSERT_TRUE(lock.sign("00112233445566AA"));
  ASSERT_TRUE(lock.sign("00112233445566BB"));
  EXPECT_THAT(open().signers(), ElementsAre("00112233445566BB"));
  EXPECT_EQ(lock.registry_of("00112233445566BB"), nullptr);
}

TEST_F(NamedLockTest, ARegistryThatAppearsLaterDoesNotMakeTwoHolders) {
  places_.system = root_ / "absent" / "run";  // cannot be made
  NamedLock early = open();
  ASSERT_TRUE(take(early));
  ASSERT_TRUE(early.sign("00112233445566AA"));
  places_.system = root_ / "run";
  make_system_place();
  NamedLock late = open();
  EXPECT_FALSE(take(late)) << "it is held in the other registry";
  EXPECT_THAT(late.signers(), ElementsAre("00112233445566AA"));
  early.release();
  EXPECT_TRUE(take(late));
}

TEST_F(NamedLockTest, ARegistryThatAppearsBetweenOpeningAndTakingIsNotMissed) {
  places_.system = root_ / "absent" / "run";
  NamedLock early = open();  // in the temporary place: there is no other yet
  fs::create_directories(places_.system);
  ASSERT_EQ(::chmod(places_.system.c_str(), 01777), 0);
  NamedLock late = open();
  ASSERT_TRUE(take(late));
  EXPECT_FALSE(take(early));
}

TEST_F(NamedLockTest, AFileThatSomebodyHasUnlinkedIsNoLock) {
  places_ = {.chosen = root_ / "registry", .system = {}, .temporary = {}};
  NamedLock early = open();
  fs::remove(root_ / "registry" / "locks" / "backup");
  NamedLock late = open();
  ASSERT_TRUE(take(late));
  EXPECT_FALSE(take(early)) << "what it has open is another file";
}

TEST_F(NamedLockTest, WhileItIsOpenItsDirectoryIsNotAged) {
  places_ = {.chosen = root_ / "registry", .system = {}, .temporary = {}};
  const sys::UniqueFd directory = [&] {
    const NamedLock lock = open();
    sys::UniqueFd fd(::open((root_ / "registry" / "locks").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    EXPECT_NE(::flock(fd.get(), LOCK_EX | LOCK_NB), 0) << "as systemd-tmpfiles asks";
    return fd;
  }();
  EXPECT_EQ(::flock(directory.get(), LOCK_EX | LOCK_NB), 0);
}

TEST_F(NamedLockTest, WhatIsPlantedInItsPlaceIsRefused) {
  places_ = {.chosen = root_ / "registry", .system = {}, .temporary = {}};
  fs::create_directories(root_ / "registry" / "locks");
  ASSERT_EQ(::chmod((root_ / "registry").c_str(), 0700), 0);
  fs::create_symlink(root_ / "elsewhere", root_ / "registry" / "locks" / "link");
  ASSERT_EQ(::mkfifo((root_ / "registry" / "locks" / "fifo").c_str(), 0600), 0);
  EXPECT_FALSE(NamedLock::open(places_, "link", warnings_));
  EXPECT_FALSE(NamedLock::open(places_, "fifo", warnings_));
  EXPECT_FALSE(fs::exists(root_ / "elsewhere"));
  fs::rename(root_ / "registry" / "locks", root_ / "registry" / "moved");
  fs::create_directory_symlink(root_ / "registry" / "moved", root_ / "registry" / "locks");
  EXPECT_FALSE(NamedLock::open(places_, "backup", warnings_));
}

TEST_F(NamedLockTest, WithoutARegistryThereIsNone) {
  std::ofstream(root_ / "file") << "no directory";
  places_ = {.chosen = root_ / "file", .system = {}, .temporary = {}};
  const auto lock = NamedLock::open(places_, "backup", warnings_);
  ASSERT_FALSE(lock);
  EXPECT_THAT(lock.error().message(), HasSubstr((root_ / "file").string()));
}

}  // namespace
}  // namespace reapctl::engine
