#include "proc/own_cgroup.hpp"

#include "support/fake_proc.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace reapctl::proc {
namespace {

using reapctl::testing::FakeProc;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kHybrid[] =
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs ro,size=4096k,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";

TEST(OwnCgroup, PathIsOnTheLineWithoutControllers) {
  EXPECT_EQ(cgroup2_path("9:name=systemd:/a\n4:memory:/b\n0::/user.slice/x:y\n"), "/user.slice/x:y");
  EXPECT_EQ(cgroup2_path("0::/\n"), "/");
  EXPECT_EQ(cgroup2_path("4:memory:/b\n"), std::nullopt);
  EXPECT_EQ(cgroup2_path(""), std::nullopt);
}

TEST(OwnCgroup, HybridAndUnifiedMountsAreFound) {
  EXPECT_THAT(cgroup2_directories(kHybrid, "/"), ElementsAre("/sys/fs/cgroup/unified"));
  EXPECT_THAT(cgroup2_directories(kHybrid, "/a/b"), ElementsAre("/sys/fs/cgroup/unified/a/b"));
  EXPECT_THAT(cgroup2_directories("30 23 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n", "/x"),
              ElementsAre("/sys/fs/cgroup/x"));
}

TEST(OwnCgroup, AMountOfAPartShowsThatPartOnly) {
  constexpr char kPart[] = "30 23 0:26 /docker/c0 /sys/fs/cgroup rw - cgroup2 cgroup rw\n";
  EXPECT_THAT(cgroup2_directories(kPart, "/docker/c0"), ElementsAre("/sys/fs/cgroup"));
  EXPECT_THAT(cgroup2_directories(kPart, "/docker/c0/x"), ElementsAre("/sys/fs/cgroup/x"));
  EXPECT_THAT(cgroup2_directories(kPart, "/docker/c01"), IsEmpty());
  EXPECT_THAT(cgroup2_directories(kPart, "/"), IsEmpty());
  EXPECT_THAT(cgroup2_directories("30 23 0:26 /../.. /sys/fs/cgroup rw - cgroup2 cgroup rw\n", "/x"), IsEmpty());
}

TEST(OwnCgroup, WritableMountsComeFirstAndNamesAreUnescaped) {
  EXPECT_THAT(cgroup2_directories(
                  "30 23 0:26 / /a ro,nosuid - cgroup2 c rw\n31 23 0:26 / /b\\040c\\134 rw - cgroup2 c rw\n", "/x"),
              ElementsAre("/b c\\/x", "/a/x"));
}

TEST(OwnCgroup, NonsenseIsNoMount) {
  EXPECT_THAT(cgroup2_directories("", "/"), IsEmpty());
  EXPECT_THAT(cgroup2_directories("\n - cgroup2 \n30 - cgroup2 x\nno separator cgroup2\n", "/"), IsEmpty());
}

TEST(OwnCgroup, ReadsThisProcessAndSaysWhatIsMissing) {
  FakeProc proc{{"self/cgroup", "0::/a\n"}, {"self/mountinfo", kHybrid}};
  const auto found = own_cgroup_directories(ProcFs(proc.root()));
  ASSERT_TRUE(found) << found.error().message();
  EXPECT_THAT(*found, ElementsAre("/sys/fs/cgroup/unified/a"));
  proc.put({"self/mountinfo", std::string("1 0 0:1 / / rw - ext4 /dev/sda rw\n")});
  EXPECT_THAT(own_cgroup_directories(ProcFs(proc.root())).error().message(), HasSubstr("mount of cgroup v2"));
  proc.put({"self/cgroup", std::string("4:memory:/b\n")});
  EXPECT_THAT(own_cgroup_directories(ProcFs(proc.root())).error().message(), HasSubstr("hierarchy"));
  proc.put({"self/cgroup", std::string("0::/../x\n")});
  EXPECT_THAT(own_cgroup_directories(ProcFs(proc.root())).error().message(), HasSubstr("namespace"));
}

}  // namespace
}  // namespace reapctl::proc
