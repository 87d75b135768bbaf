#pragma once

#include "engine/registry.hpp"

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

namespace reapctl::test {

/// The two places where registries can be, in a directory of the test's own. That of the system is not there at first.
class WithRegistryPlaces : public testing::Test {
 protected:
  WithRegistryPlaces() {
    std::string name = (std::filesystem::temp_directory_path() / "reapctl-registry-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
    root_ = name;
    places_ = {.chosen = {}, .system = root_ / "run", .temporary = root_ / "tmp"};
    temporary_ = (root_ / "tmp").string() + "-" + std::to_string(::geteuid());
    system_ = root_ / "run" / std::to_string(::geteuid());
  }
  ~WithRegistryPlaces() override { std::filesystem::remove_all(root_); }

  /// As root makes it; only then is there one for everybody.
  void make_system_place() {
    std::filesystem::create_directory(root_ / "run");
    ASSERT_EQ(::chmod((root_ / "run").c_str(), 01777), 0);
  }

  std::filesystem::path root_;
  engine::RegistryPlaces places_;
  std::string temporary_;         ///< our registry in the one place
  std::filesystem::path system_;  ///< and in the other
  std::vector<std::string> warnings_;
};

}  // namespace reapctl::test
