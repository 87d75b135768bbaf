#include "cli/main.hpp"

int main(int argc, char** argv) {
  return reapctl::cli::main(argc, argv);
}
