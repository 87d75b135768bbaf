#include "core/environment.hpp"

#include <gmock/gmock.h>

namespace reapctl::core {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::StrEq;

TEST(Environment, PassesTheCallersVariablesOnAsTheyAre) {
  const char* caller[] = {"B=2", "A=1", "no equals sign", "=odd", "B=again", "EMPTY=", nullptr};
  const Environment environment(caller, "REAPCTL_OPT_");
  EXPECT_THAT(environment.entries(), ElementsAre(StrEq("B=2"), StrEq("A=1"), StrEq("no equals sign"), StrEq("=odd"),
                                                 StrEq("B=again"), StrEq("EMPTY=")));
}

TEST(Environment, DropsThoseOfThePrefixOnly) {
  const char* caller[] = {"REAPCTL_OPT_TIMEOUT=5", "REAPCTL_REGISTRY=/r", "MY_REAPCTL_OPT_X=1",
                          "REAPCTL_OPT_=", nullptr};
  EXPECT_THAT(Environment(caller, "REAPCTL_OPT_").entries(),
              ElementsAre(StrEq("REAPCTL_REGISTRY=/r"), StrEq("MY_REAPCTL_OPT_X=1")));
}

TEST(Environment, SetsInPlaceOfAllOfThatName) {
  const char* caller[] = {"A=1", "AB=2", "A=3", nullptr};
  Environment environment(caller, "-");
  environment.set("A", "new");
  environment.set("C", "");
  environment.set("A", "newer");
  EXPECT_THAT(environment.entries(), ElementsAre(StrEq("AB=2"), StrEq("C="), StrEq("A=newer")));
}

TEST(Environment, UnsetsTheCallersAndItsOwn) {
  const char* caller[] = {"A=1", "A", "AB=2", nullptr};
  Environment environment(caller, "-");
  environment.set("B", "1");
  environment.unset("A");
  environment.unset("B");
  environment.unset("NOT_THERE");
  EXPECT_THAT(environment.entries(), ElementsAre(StrEq("A"), StrEq("AB=2"))) << "\"A\" has no name that ends in =";
}

TEST(Environment, ValuesMayHoldEqualsSignsAndAnyByte) {
  Environment environment;
  EXPECT_THAT(environment.entries(), IsEmpty());
  environment.set("A", "b=c\xff\n");
  EXPECT_THAT(environment.entries(), ElementsAre(StrEq("A=b=c\xff\n")));
}

TEST(Environment, StaysValidWhenCopiedAndGrown) {
  Environment first;
  first.set("A", "x");  // short enough to live inside the string object
  Environment second = first;
  for (int i = 0; i < 100; ++i) second.set("V" + std::to_string(i), "y");
  first = Environment();
  EXPECT_THAT(second.entries().front(), StrEq("A=x"));
}

}  // namespace
}  // namespace reapctl::core
