#pragma once

#include "support/namespace.hpp"
#include "support/reapctl.hpp"

#include <string>
#include <unistd.h>

#include <gtest/gtest.h>

/// Root over all users, in a PID and a mount namespace: there /run is empty, and whatever the registries of this
/// machine hold is of a foreign namespace, which no sweep touches.
namespace reapctl::test {

/// Runs a shell script there, with a few functions (see users.cpp): its exit status and what it printed.
[[nodiscard]] Outcome in_users_namespaces(const std::string& script);

}  // namespace reapctl::test

#define REQUIRE_ROOT_AND_NAMESPACES()                                   \
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to act for others"; \
  REQUIRE_PID_NAMESPACE()
