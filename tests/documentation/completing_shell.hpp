#pragma once

#include "support/environment.hpp"
#include "support/terminal.hpp"

#include <memory>
#include <set>
#include <string>

/// The three shells, each with our completion as its user would have it.
namespace reapctl::test {

class CompletingShell {
 public:
  /// "bash", "zsh" or "fish".
  explicit CompletingShell(const std::string& shell);

  /// Why the shell cannot be tested here; empty when it can.
  [[nodiscard]] static std::string obstacle(const std::string& shell);

  /// What is offered when the completion key is pressed behind this line.
  [[nodiscard]] std::set<std::string> offered(const std::string& line);

 private:
  std::string shell_;
  TempDir home_;
  std::unique_ptr<Terminal> terminal_;
};

}  // namespace reapctl::test
