#pragma once

#include "support/json_sink.hpp"
#include "support/process.hpp"
#include "support/reapctl.hpp"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace reapctl::test {

/// What each of a list has at `key`.
inline std::vector<std::string> strings(const nlohmann::json& list, const char* key) {
  std::vector<std::string> all;
  for (const auto& each : list) all.push_back(each[key].is_string() ? each[key].get<std::string>() : each[key].dump());
  return all;
}

/// Runs, orphans and sweeps in a registry and a work directory base of the test's own.
class SweepFixture : public testing::Test {
 protected:
  SweepFixture() { std::filesystem::create_directory(base_); }
  /// What a failed test has left over, and the zombies that nobody else reaps: this process is a subreaper.
  ~SweepFixture() override { (void)kill_leftovers({}); }

  /// A run whose command does `steps` and then says `role`.
  std::unique_ptr<Reapctl> start(const std::string& role, Args steps, Args options = {}) {
    options.insert(options.begin(), {"run", "--contain", "subreaper", "--report", "none", "--workdir-base", base_});
    options.emplace_back("--");
    steps.push_back("ready=" + role);
    if (role.starts_with("stopped")) steps.emplace_back("stop-self");
    for (std::string& word : misbehave(roster_, std::move(steps))) options.push_back(std::move(word));
    return std::make_unique<Reapctl>(Launch{.args = std::move(options), .env = environment_, .leaves_processes = true});
  }

  /// Kills the reapctl of a run, all of it at one blow: neither sees the other die. The supervisor first, for the death
  /// of his parent would orphan his process group, and the kernel continues what is stopped in such a group
  /// (setpgid(2)).
  static void orphan(Reapctl& reapctl, const Process& main) {
    const pid_t supervisor = supervisor_of(main);
    reapctl.send(SIGSTOP);
    if (supervisor != reapctl.pid()) {
      send_signal(supervisor, SIGSTOP);
      send_signal(supervisor, SIGKILL);
    }
    reapctl.send(SIGKILL);
    EXPECT_EQ(reapctl.wait().killed_by(), SIGKILL);
    EXPECT_TRUE(await([supervisor, &main] { return supervisor_of(main) != supervisor; }));
  }

  Outcome reapctl(Args args) { return run({.args = std::move(args), .env = environment_, .leaves_processes = true}); }

  nlohmann::json sweep(Args options, int expected_code = 0) {
    options.insert(options.begin(), {"sweep", "--json"});
    const Outcome outcome = reapctl(std::move(options));
    EXPECT_EQ(outcome.code(), expected_code) << outcome.out << outcome.err;
    const std::string line = outcome.out.substr(0, outcome.out.find('\n'));
    keep_json("sweep", line);
    return nlohmann::json::parse(line, nullptr, false);
  }

  [[nodiscard]] bool nothing_on_record() const {
    std::error_code absent;
    const std::filesystem::directory_iterator entries(registry_, absent);
    return std::all_of(begin(entries), end(entries), [](const auto& entry) {
      return entry.path().filename() == "locks";  // lock files stay
    });
  }

  /// The one entry of the registry.
  [[nodiscard]] std::filesystem::path only_entry() const {
    std::filesystem::path found;
    for (const auto& entry : std::filesystem::directory_iterator(registry_)) {
      if (entry.path().filename() != "locks") found = entry.path();
    }
    return found;
  }

  TempDir directory_;
  std::string base_ = directory_ / "base";
  std::string registry_ = directory_ / "registry";
  std::map<std::string, std::string> environment_ = {{"REAPCTL_REGISTRY", registry_}};
  Roster roster_;
};

}  // namespace reapctl::test
