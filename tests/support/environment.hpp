#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <string_view>

/// Where a test finds its programs and may put its files.
namespace reapctl::test {

/// How long a test waits for what must happen. A bound for failure, never part of what is measured.
inline constexpr std::chrono::seconds kPatience{60};

/// The binary under test and the helper, as built.
[[nodiscard]] std::string reapctl_path();
[[nodiscard]] std::string misbehave_path();

/// From now on the two are found in this directory: where another user, who may not search ours, gets at them.
void use_programs_in(const std::string& directory);

/// A directory below $TMPDIR (or /tmp), removed with everything in it, whatever its modes, when the object goes.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::string operator/(std::string_view name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

/// The bytes of a file; empty when it cannot be read. For /proc too.
[[nodiscard]] std::string read_file(const std::string& path);

/// Creates or replaces a file.
void write_file(const std::string& path, std::string_view text);

/// An executable script.
void write_script(const std::string& path, std::string_view text);

}  // namespace reapctl::test
