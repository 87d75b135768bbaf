#include "support/reapctl.hpp"

#include <filesystem>
#include <set>
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

TEST(Install, PutsFilesWhereTheyAreLookedFor) {
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
}

TEST(Install, OfTheRuntimeIsTheBinaryAlone) {
  TempDir directory;
  (void)install("--prefix /usr --component runtime", directory.path());
  EXPECT_EQ(files_below(directory.path()), std::set<std::string>{"usr/bin/reapctl"});
}

}  // namespace
}  // namespace reapctl::test
