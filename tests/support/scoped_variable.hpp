#pragma once

#include <cstdlib>
#include <optional>
#include <string>

namespace reapctl::test {

/// An environment variable of this process as a test wants it; afterwards it is as it was.
class ScopedVariable {
 public:
  /// nullptr: not there.
  ScopedVariable(const char* name, const char* value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    assign(value);
  }
  ~ScopedVariable() { assign(before_ ? before_->c_str() : nullptr); }
  ScopedVariable(const ScopedVariable&) = delete;
  ScopedVariable& operator=(const ScopedVariable&) = delete;

 private:
  void assign(const char* value) {
    if (value != nullptr) {
      (void)::setenv(name_.c_str(), value, 1);
    } else {
      (void)::unsetenv(name_.c_str());
    }
  }

  std::string name_;
  std::optional<std::string> before_;
};

}  // namespace reapctl::test
