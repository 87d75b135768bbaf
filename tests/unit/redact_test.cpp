#include "core/redact.hpp"

#include <gtest/gtest.h>

namespace reapctl::core {
namespace {

using Args = std::vector<std::string>;

TEST(Redact, HidesWhatHasTheNameOfASecret) {
  struct Case {
    Args given, shown;
  };
  const std::vector<Case> table = {
      {{}, {}},
      {{"ls", "-l", "", "--", "[a,b]"}, {"ls", "-l", "", "--", "[a,b]"}},
      // assignments
      {{"--password=x"}, {"--password=***"}},
      {{"--password=a=b c"}, {"--password=***"}},
      {{"--password="}, {"--password=***"}},
      {{"API_TOKEN=x"}, {"API_TOKEN=***"}},
      {{"My-SECRET-thing=x"}, {"My-SECRET-thing=***"}},
      {{"--monkey=1"}, {"--monkey=***"}},
      {{"--env=API_TOKEN=x"}, {"--env=API_TOKEN=***"}},
      {{"-e", "DB_PASS=x"}, {"-e", "DB_PASS=***"}},
      {{"host=db user=me password=x y"}, {"host=db user=me password=***"}},
      {{"https://h/?a=1&token=x&b=2"}, {"https://h/?a=1&token=***"}},
      {{"--user=me", "a=b"}, {"--user=me", "a=b"}},
      {{"pass the=salt"}, {"pass the=salt"}},
      {{"=x", "="}, {"=x", "="}},
      // options with their value in the next argument
      {{"--password", "x", "y"}, {"--password", "***", "y"}},
      {{"--API-Key", "x=y z"}, {"--API-Key", "***"}},
      {{"--api-key", "-v", "x"}, {"--api-key", "-v", "x"}},
      {{"--token", "--secret", "x"}, {"--token", "--secret", "***"}},
      {{"--token", "--secret=y", "x"}, {"--token", "--secret=***", "x"}},
      {{"--token", "secret=y", "x"}, {"--token", "***", "x"}},
      {{"--token", "", "x"}, {"--token", "***", "x"}},
      {{"--token"}, {"--token"}},
      {{"-p", "x", "password", "y"}, {"-p", "x", "password", "y"}},
      {{"ssh-keygen", "x"}, {"ssh-keygen", "x"}},
      {{"--header", "key: x"}, {"--header", "key: x"}},
      // in a script
      {{"sh", "-c", "curl  --token x\n-v y"}, {"sh", "-c", "curl  --token ***\n-v y"}},
      {{"sh", "-c", "exec x --token", "y"}, {"sh", "-c", "exec x --token", "***"}},
      // passwords in URLs
      {{"https://me:pw@h/p"}, {"https://me:***@h/p"}},
      {{"--db=postgres://me:p:w@ss@h:5432/x"}, {"--db=postgres://me:***@h:5432/x"}},
      {{"redis://:pw@h"}, {"redis://:***@h"}},
      {{"git+ssh://a:b@h"}, {"git+ssh://a:***@h"}},
      {{"http://a:1@h http://b:2@h/"}, {"http://a:***@h http://b:***@h/"}},
      {{"amqp://a:1@h,amqp://b:2@h"}, {"amqp://a:***@h,amqp://b:***@h"}},
      {{"x='http://a:1@h'"}, {"x='http://a:***@h'"}},
      {{"postgres://u:mykey=abc@h"}, {"postgres://u:***@h"}},
      {{"http://me@h", "http://me:@h", "http://h:80/a@b", "http://h/?q=a:b@c"},
       {"http://me@h", "http://me:@h", "http://h:80/a@b", "http://h/?q=a:b@c"}},
      {{"://a:b@c", "http://", "user:pw@host"}, {"://a:b@c", "http://", "user:pw@host"}},
      {{"\xff=x", "pass\xff=x"}, {"\xff=x", "pass\xff=***"}},
  };
  for (const Case& c : table) EXPECT_EQ(redact_args(c.given, ArgsShown::redacted), c.shown);
}

TEST(Redact, ShowsAllOrNothingWhenAsked) {
  const Args args = {"x", "--password=y"};
  EXPECT_EQ(redact_args(args, ArgsShown::full), args);
  EXPECT_EQ(redact_args(args, ArgsShown::none), Args{});
}

}  // namespace
}  // namespace reapctl::core
