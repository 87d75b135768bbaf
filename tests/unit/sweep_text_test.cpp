#include "report/sweep_text.hpp"

#include "unit/report_samples.hpp"

#include <algorithm>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace reapctl::report {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

core::SweepReport with_victims(int count, const std::string& argument) {
  core::SweepReport report;
  for (int i = 0; i < count; ++i) {
    core::SweptProcess victim;
    victim.process = test::process(1000 + i, 1, "server", {"server", argument});
    victim.after = core::Millis(10);
    report.victims.push_back(std::move(victim));
  }
  return report;
}

TEST(SweepForGithub, NothingIsNoWarning) {
  EXPECT_EQ(to_github_warning({}), "");
}

TEST(SweepForGithub, NoCommandAndNoMarkupComesOutOfAName) {
  const core::SweepReport report = with_victims(1, "\n::error::a%0Ab\r</pre><b>&\x1b[31m");
  const std::string warning = to_github_warning(report);
  EXPECT_THAT(warning, StartsWith("::warning title=reapctl sweep::Killed 1 process"));
  EXPECT_EQ(warning.find_first_of("\n\r\x1b"), std::string::npos) << warning;
  EXPECT_THAT(warning, HasSubstr("a%250Ab"));
  const std::string summary = to_github_summary(report);
  EXPECT_THAT(summary, HasSubstr("&lt;/pre&gt;&lt;b&gt;&amp;"));
  EXPECT_EQ(summary.find("</pre>"), summary.size() - std::string("</pre>\n").size()) << summary;
}

TEST(SweepForGithub, IsNoLongerThanGithubTakes) {
  const core::SweepReport report = with_victims(30'000, "<<<<<<<<<<<<<<<<<<<<");
  const std::string warning = to_github_warning(report);
  EXPECT_LT(warning.size(), 64'000U);
  EXPECT_GT(warning.size(), 16'000U);
  EXPECT_THAT(warning, EndsWith("%0A… and more"));
  const std::string summary = to_github_summary(report);
  EXPECT_LT(summary.size(), 1'000'000U);
  EXPECT_THAT(summary, EndsWith("&lt;\n… and more\n</pre>\n"));
  const core::SweepReport some = with_victims(50, "a");
  EXPECT_EQ(to_github_warning(some).find("and more"), std::string::npos);
}

}  // namespace
}  // namespace reapctl::report
