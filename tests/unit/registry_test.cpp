#include "engine/registry.hpp"

#include "engine/registration.hpp"
#include "engine/run_cases.hpp"
#include "report/record_json.hpp"
#include "support/registry_places.hpp"
#include "sys/file_lock.hpp"

#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sys/resource.h>
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

constexpr char kId[] = "00112233445566AA";

/// No file can grow: the nearest thing to a full disk that needs no rights.
class NoRoomForFiles {
 public:
  NoRoomForFiles() {
    (void)std::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit none{.rlim_cur = 0, .rlim_max = before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &none);
  }
  ~NoRoomForFiles() { ::setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_{};
};

class RegistryTest : public test::WithRegistryPlaces {
 protected:
  static void put(const fs::path& path, const std::string& text) { std::ofstream(path) << text; }

  static core::RunRecord record() {
    core::RunRecord made;
    made.run_id = kId;
    made.supervisor = {.pid = ::getpid(), .start_ticks = 1};
    return made;
  }

  Registry open() {
    auto registry = Registry::open_for_writing(places_, warnings_);
    EXPECT_TRUE(registry) << registry.error().message();
    return registry.take();
  }

  std::optional<RegistryEntry> entry() { return read_entry(open(), kId, report::record_codec()); }
};

TEST_F(RegistryTest, ThePlaceOfTheSystemIsStickyAndHoldsAPrivateDirectory) {
  make_system_place();
  const Registry registry = open();
  EXPECT_EQ(registry.path(), (root_ / "run").string() + "/" + std::to_string(::geteuid()));
  struct stat status {};
  ASSERT_EQ(::stat(registry.path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777U, 0700U);
  EXPECT_THAT(warnings_, IsEmpty());
}

TEST_F(RegistryTest, OnlyRootMakesThePlaceOfTheSystem) {
  const Registry registry = open();
  EXPECT_EQ(fs::exists(root_ / "run"), ::geteuid() == 0);
  EXPECT_EQ(registry.path().starts_with((root_ / "run").string()), ::geteuid() == 0);
}

TEST_F(RegistryTest, APlaceInWhichEverybodyCanRenameIsRefused) {
  fs::create_directory(root_ / "run");
  ASSERT_EQ(::chmod((root_ / "run").c_str(), 0777), 0);
  EXPECT_EQ(open().path(), temporary_);
  EXPECT_THAT(warnings_, ElementsAre("cannot use " + (root_ / "run").string() +
                                     " as a registry: everybody can rename what is in it"));
}

TEST_F(RegistryTest, APlantedLinkIsRefusedAndNothingIsWrittenBehindIt) {
  fs::create_directory(root_ / "victim");
  fs::create_directory_symlink(root_ / "victim", temporary_);
  put(root_ / "run", "no directory");
  const auto registry = Registry::open_for_writing(places_, warnings_);
  ASSERT_FALSE(registry);
  EXPECT_THAT(registry.error().message(), HasSubstr("symbolic link"));
  EXPECT_TRUE(fs::is_empty(root_ / "victim"));
  places_.chosen = temporary_;
  EXPECT_FALSE(Registry::open_for_writing(places_, warnings_));
  EXPECT_FALSE(Registry::open_existing(places_, warnings_));
}

TEST_F(RegistryTest, ALinkIsNotFollowedForASlashAtItsEnd) {
  fs::create_directory(root_ / "mine");
  fs::create_directory_symlink(root_ / "mine", root_ / "link");
  places_.chosen = (root_ / "link//").string();
  EXPECT_FALSE(Registry::open_for_writing(places_, warnings_));
  EXPECT_FALSE(Registry::open_existing(places_, warnings_));
  places_.chosen = (root_ / "mine/").string();
  EXPECT_TRUE(Registry::open_existing(places_, warnings_));
}

TEST_F(RegistryTest, WhatIsWrongWithTheLockIsSaid) {
  const std::string directory = open().path() + "/" + kId;
  fs::create_directory(directory);
  put(directory + "/record.json", report::record_codec().encode(record()).text);
  EXPECT_THAT(entry()->lock_problem, HasSubstr("No such file"));
  fs::create_symlink("/etc/passwd", directory + "/lock");
  EXPECT_THAT(entry()->lock_problem, HasSubstr("symbolic link"));
  fs::remove(directory + "/lock");
  ASSERT_EQ(::mkfifo((directory + "/lock").c_str(), 0600), 0);
  EXPECT_THAT(entry()->lock_problem, HasSubstr("no regular file"));
}

TEST_F(RegistryTest, NamesThatReapctlDoesNotWriteAreNobodys) {
  fs::create_directory(root_.string() + "/tmp-0" + std::to_string(::geteuid()));
  fs::create_directory(root_.string() + "/tmp-" + std::to_string(::geteuid()) + "x");
  EXPECT_THAT(Registry::open_of_all_users(places_, warnings_), IsEmpty());
  EXPECT_THAT(warnings_, IsEmpty());
}

TEST_F(RegistryTest, ADirectoryThatOthersCanWriteToIsRefused) {
  fs::create_directory(root_ / "mine");
  ASSERT_EQ(::chmod((root_ / "mine").c_str(), 0770), 0);
  places_.chosen = root_ / "mine";
  const auto registry = Registry::open_for_writing(places_, warnings_);
  ASSERT_FALSE(registry);
  EXPECT_THAT(registry.error().message(), HasSubstr("others can write"));
}

TEST_F(RegistryTest, ADirectoryOfAnotherUserIsRefused) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to make one";
  fs::create_directory(temporary_);
  ASSERT_EQ(::chown(temporary_.c_str(), 65534, 65534), 0);
  places_.chosen = temporary_;
  const auto registry = Registry::open_for_writing(places_, warnings_);
  ASSERT_FALSE(registry);
  EXPECT_THAT(registry.error().message(), HasSubstr("belongs to user 65534"));
}

TEST_F(RegistryTest, ReadersLookInAllPlaces) {
  make_system_place();
  (void)open();
  fs::create_directory(temporary_);
  const auto all = Registry::open_existing(places_, warnings_);
  ASSERT_TRUE(all);
  EXPECT_EQ(all->size(), 2U);
  EXPECT_EQ(Registry::open_of_all_users(places_, warnings_).size(), 2U);
  EXPECT_THAT(warnings_, IsEmpty());
}

TEST_F(RegistryTest, ARegistryInTheNameOfAnotherUserIsRefused) {
  fs::create_directory(root_.string() + "/tmp-4242");
  EXPECT_THAT(Registry::open_of_all_users(places_, warnings_), IsEmpty());
  EXPECT_THAT(warnings_, ElementsAre(HasSubstr("belongs to user")));
}

TEST_F(RegistryTest, ARunIsOnRecordAndLockedUntilItIsRemoved) {
  Registration registration(places_, report::record_codec(), warnings_);
  registration.open(kId);
  EXPECT_TRUE(entry()->empty);
  EXPECT_EQ(entry()->lock, core::LockState::held);
  registration.begin(record());
  ASSERT_TRUE(entry()->record) << entry()->problem;
  EXPECT_EQ(entry()->lock, core::LockState::held);
  EXPECT_EQ(entry()->record->state, core::RecordState::starting);
  registration.released();
  EXPECT_EQ(entry()->record->state, core::RecordState::released);
  struct stat status {};
  ASSERT_EQ(::stat((entry()->path).c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777U, 0700U);
  ASSERT_EQ(::stat((entry()->path + "/record.json").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777U, 0600U);
  registration.remove();
  EXPECT_FALSE(entry());
  EXPECT_THAT(*open().run_ids(), IsEmpty());
  EXPECT_THAT(warnings_, IsEmpty());
}

TEST_F(RegistryTest, TheLockOutlivesTheRegistrationInAnyCopyOfItsDescriptor) {
  int copy = -1;
  {
    Registration registration(places_, report::record_codec(), warnings_);
    registration.open(kId);
    registration.begin(record());
    for (const int fd : registration.descriptors()) {
      if (fs::read_symlink("/proc/self/fd/" + std::to_string(fd)).filename() == "lock") copy = ::dup(fd);
    }
  }
  ASSERT_GE(copy, 0);
  EXPECT_EQ(entry()->lock, core::LockState::held);
  ASSERT_EQ(::close(copy), 0);
  EXPECT_EQ(entry()->lock, core::LockState::free);
}

TEST_F(RegistryTest, LookingTakesNoLock) {
  Registration registration(places_, report::record_codec(), warnings_);
  const std::string directory = open().path() + "/" + kId;
  fs::create_directory(directory);
  put(directory + "/lock", "");
  const sys::UniqueFd lock(::open((directory + "/lock").c_str(), O_RDWR | O_CLOEXEC));
  const sys::UniqueFd other(::open((directory + "/lock").c_str(), O_RDWR | O_CLOEXEC));
  EXPECT_FALSE(*sys::is_locked(other.get()));
  EXPECT_FALSE(*sys::is_locked(lock.get()));
  EXPECT_TRUE(sys::take_lock(lock.get()));
  EXPECT_TRUE(*sys::is_locked(other.get()));
  EXPECT_EQ(sys::take_lock(other.get()).error().code, EAGAIN);
}

TEST_F(RegistryTest, WhatIsNoRecordIsSaidToBeNone) {
  const std::string directory = open().path() + "/" + kId;
  fs::create_directory(directory);
  const fs::path file = directory + "/record.json";

  put(file, R"({"schema_version":1,)");
  EXPECT_THAT(entry()->problem, HasSubstr("torn"));
  EXPECT_FALSE(entry()->record);

  fs::remove(file);
  fs::create_symlink("/etc/passwd", file);
  EXPECT_THAT(entry()->problem, HasSubstr("record.json"));

  fs::remove(file);
  ASSERT_EQ(::mkfifo(file.c_str(), 0600), 0);
  EXPECT_THAT(entry()->problem, HasSubstr("record.json"));  // and did not wait for a writer

  fs::remove(file);
  put(file, "");
  fs::resize_file(file, 100'000'000);
  EXPECT_THAT(entry()->problem, HasSubstr("File too large"));

  core::RunRecord other = record();
  other.run_id = "FFFFFFFFFFFFFFFF";
  put(file, report::record_codec().encode(other).text);
  EXPECT_THAT(entry()->problem, HasSubstr("another run"));
}

TEST_F(RegistryTest, OnlyRunIdsCountAsRuns) {
  const Registry registry = open();
  for (const char* name : {kId, "00112233445566aa", "0011", "00112233445566AAB", "..x"}) {
    fs::create_directory(registry.path() + "/" + name);
  }
  EXPECT_THAT(*registry.run_ids(), ElementsAre(kId));
}

TEST_F(RegistryTest, ALinkInPlaceOfARunIsNotFollowed) {
  const Registry registry = open();
  fs::create_directory(root_ / "elsewhere");
  fs::create_directory_symlink(root_ / "elsewhere", registry.path() + "/" + kId);
  EXPECT_FALSE(read_entry(registry, kId, report::record_codec())->record);
  EXPECT_THAT(read_entry(registry, kId, report::record_codec())->problem, HasSubstr(kId));
}

TEST_F(RegistryTest, AFullDiskLeavesAWarningAndNothingElse) {
  const NoRoomForFiles no_room;
  Registration registration(places_, report::record_codec(), warnings_);
  registration.open(kId);
  registration.begin(record());
  EXPECT_THAT(warnings_, ElementsAre(HasSubstr("not on record")));
  EXPECT_EQ(registration.main_note().fd, -1);
  EXPECT_THAT(registration.descriptors(), IsEmpty());
  registration.stopping();
  registration.remove();
  EXPECT_EQ(warnings_.size(), 1U);
  EXPECT_THAT(*open().run_ids(), IsEmpty());
}

// --- neither record nor lock

class BareEntry : public RegistryTest {
 protected:
  BareEntry() { fs::create_directory(path_); }

  Claim claim_it() {
    std::vector<Registry> registries;
    registries.push_back(open());
    RunCases cases = read_cases(proc_, std::move(registries), report::record_codec());
    EXPECT_EQ(cases.cases.size(), 1U);
    meanwhile_();
    return claim(proc_, cases, cases.cases.front(), report::record_codec());
  }

  const fs::path path_ = fs::path(open().path()) / kId;
  const proc::ProcFs proc_;
  std::function<void()> meanwhile_ = [] {};
};

/// A lock that a sweep made there would be in the way of a run that is just taking its directory away.
TEST_F(BareEntry, IsRemovedWithoutMakingALock) {
  EXPECT_EQ(claim_it(), Claim::bare);
  EXPECT_FALSE(fs::exists(path_));
}

TEST_F(BareEntry, MayBeGoneWithItsRun) {
  meanwhile_ = [this] { fs::remove(path_); };
  EXPECT_EQ(claim_it(), Claim::gone);
}

TEST_F(BareEntry, WithSomethingElseInItStays) {
  put(path_ / "thing", "");
  EXPECT_EQ(claim_it(), Claim::failed);
  EXPECT_TRUE(fs::exists(path_ / "thing"));
}

}  // namespace
}  // namespace reapctl::engine
