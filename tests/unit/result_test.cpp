#include "sys/result.hpp"

#include <gtest/gtest.h>

namespace reapctl::sys {
namespace {

TEST(Result, ErrorNamesOperationSubjectAndReason) {
  const Error error{.code = EACCES, .operation = "open", .subject = "/x"};
  EXPECT_EQ(error.message(), "open /x: Permission denied");
}

TEST(Result, ErrnoNameFallsBackToTheNumber) {
  EXPECT_EQ(errno_name(ENOENT), "ENOENT");
  EXPECT_EQ(errno_name(9999), "9999");
}

TEST(Result, HoldsEitherAValueOrAnError) {
  const Result<int> good = 7;
  const Result<int> bad = Error{.code = 0, .operation = "no", .subject = ""};
  EXPECT_TRUE(good.ok());
  EXPECT_EQ(*good, 7);
  EXPECT_FALSE(bad.ok());
}

}  // namespace
}  // namespace reapctl::sys
