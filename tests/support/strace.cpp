#include "support/strace.hpp"

#include "support/tool.hpp"

namespace reapctl::test {

std::string strace_obstacle() {
#if defined(__SANITIZE_ADDRESS__)
  return "the leak detector of the address sanitizer does not work in a traced process";
#else
  switch (quiet_status({"strace", "-qq", "-o", "/dev/null", "-e", "trace=none", "true"})) {
    case 0: return {};
    case 127: return "strace is not installed";
    default: return "tracing is not permitted here";
  }
#endif
}

std::vector<std::string> strace(const std::string& log, const std::vector<std::string>& options) {
  std::vector<std::string> command{"strace", "-qq", "-o", log};
  command.insert(command.end(), options.begin(), options.end());
  command.emplace_back("--");
  return command;
}

}  // namespace reapctl::test
