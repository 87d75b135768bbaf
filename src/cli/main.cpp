#include "cli/main.hpp"

#include <cstdio>

#include "version.hpp"

namespace reapctl::cli {

int main(int /*argc*/, char** /*argv*/) {
  std::printf("reapctl %s (%s)\n", kVersion, kRevision);
  return 0;
}

}  // namespace reapctl::cli
