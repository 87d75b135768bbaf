#pragma once

namespace reapctl::cli {

/// The whole program: picks the command, runs it, returns the exit status.
int main(int argc, char** argv);

}  // namespace reapctl::cli
