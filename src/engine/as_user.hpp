#pragma once

#include "core/time.hpp"
#include "sys/result.hpp"

#include <functional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace reapctl::engine {

/// Something to be done with the rights of one user and no others.
struct UserTask {
  uid_t uid = 0;
  std::function<std::string()> work;  ///< runs in a child; what it returns is the result
};

/// Does all tasks, a few at a time, each in a child that has become the user before it looks at anything of that
/// user's, and cannot become anybody else again: whatever the user has put in its way, it has no more rights. The
/// results are in the order of the tasks. Errors: the child could not become the user, was killed, or had not finished
/// `each` after it was started (the user may stop it, for it is a process of that user now).
[[nodiscard]] std::vector<sys::Result<std::string>> do_as_users(const std::vector<UserTask>& tasks, core::Millis each);

}  // namespace reapctl::engine
