#include "support/reapctl.hpp"

#include <filesystem>
#include <regex>
#include <set>
#include <sstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

/// `cmake --install` puts everything where the shells, man and systemd look, and what it lists can be removed again.
namespace reapctl::test {
namespace {

using testing::IsSupersetOf;

std::set<std::string> files_below(const std::filesystem::path& root) {
  std::set<std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    if (!entry.is_directory()) files.insert(std::filesystem::relative(entry.path(), root));
  }
  return files;
}

Outcome install(const std::string& options, const std::string& destdir) {
  const std::string script = "DESTDIR='" + destdir + "' cmake --install '" REAPCTL_TEST_BUILD "' " + options;
  Outcome outcome = run({.wrapper = {"sh", "-c", script}});
  EXPECT_EQ(outcome.code(), 0) << outcome.out << outcome.err;
  return outcome;
}

TEST(Install, PutsFilesWhereTheyAreLookedForAndTheReadmeTakesThemAway) {
  TempDir directory;
  (void)install("--prefix /opt/local", directory.path());
  EXPECT_THAT(
      files_below(directory.path()),
      IsSupersetOf({"opt/local/bin/reapctl", "opt/local/share/man/man1/reapctl.1",
                    "opt/local/share/man/man1/reapctl-run.1", "opt/local/share/man/man1/reapctl-sweep.1",
                    "opt/local/share/man/man5/reapctl-report.5", "opt/local/share/bash-completion/completions/reapctl",
                    "opt/local/share/zsh/site-functions/_reapctl",
                    "opt/local/share/fish/vendor_completions.d/reapctl.fish",
                    "opt/local/lib/systemd/system/reapctl-sweep.service",
                    "opt/local/lib/systemd/system/reapctl-sweep.timer", "opt/local/lib/tmpfiles.d/reapctl.conf"}));

  const std::string readme = read_file(REAPCTL_TEST_SOURCE "/README.md");
  std::smatch line;
  ASSERT_TRUE(
      std::regex_search(readme, line, std::regex("`(sed .*)build/release(/install_manifest.txt .*)sudo (.*)`")));
  std::string script = line[1].str() + REAPCTL_TEST_BUILD + line[2].str() + line[3].str();
  std::erase(script, '\\');  // in a table a bar needs one
  const Outcome removal = run({.wrapper = {"sh", "-c", script}, .env = {{"DESTDIR", directory.path()}}});
  EXPECT_EQ(removal.code(), 0) << script << removal.err;
  EXPECT_THAT(files_below(directory.path()), testing::IsEmpty());
}

TEST(Install, OfTheRuntimeIsTheBinaryAlone) {
  TempDir directory;
  (void)install("--prefix /usr --component runtime", directory.path());
  EXPECT_EQ(files_below(directory.path()), std::set<std::string>{"usr/bin/reapctl"});
}

/// In a mount namespace of its own a sweep cannot know whether a directory is gone or only not to be seen, and keeps
/// the run on record. These are the options that make one (systemd.exec(5)).
TEST(SweepService, SharesTheMountsOfTheRuns) {
  std::istringstream unit(read_file(REAPCTL_TEST_SOURCE "/packaging/systemd/reapctl-sweep.service"));
  static const std::regex kMounts(
      "^(Protect(System|Home|KernelTunables|KernelModules|KernelLogs|ControlGroups|Proc)|Private(Tmp|Devices|Mounts|"
      "IPC|"
      "Users)|ProcSubset|Root\\w+|Mount\\w+|BindPaths|BindReadOnlyPaths|TemporaryFileSystem|\\w+Paths|DynamicUser|"
      "\\w+Directory|LogNamespace|LoadCredential\\w*|SetCredential\\w*|ExtensionImages|ExtensionDirectories)=.*");
  int options = 0;
  for (std::string line; std::getline(unit, line); ++options) EXPECT_FALSE(std::regex_match(line, kMounts)) << line;
  EXPECT_GT(options, 10);
}

}  // namespace
}  // namespace reapctl::test
