#pragma once

#include <functional>
#include <string>

/// A PID and a mount namespace for what may escape: the test goes on in there, as PID 1, so that whatever gets away
/// from everybody becomes its child, and the kernel kills all of it when the test is over.
namespace reapctl::test {

enum class User {
  self,    ///< whoever runs the tests
  nobody,  ///< uid 65534 without groups, when that is root
};

/// What PID 1 finds.
struct World {
  std::string directory;  ///< empty, everybody may write to it
  std::string set_uid;    ///< a copy of misbehave that is set-uid to another user: root, or nobody for root; or empty
  std::string cgroup;  ///< a cgroup v2 that is this user's, PID 1 in it, with subgroups `other` and `prison`; or empty
};

/// Whether a World can have a cgroup here.
[[nodiscard]] bool can_make_cgroups();

/// Runs `body` there, as that user. Its failures are failures of this test. Whoever is left at the end, or after a
/// minute, is killed.
void in_a_world_apart(User user, const std::function<void(const World& world)>& body);

}  // namespace reapctl::test
