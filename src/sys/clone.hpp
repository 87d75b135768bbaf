#pragma once

#include "sys/result.hpp"
#include "sys/unique_fd.hpp"

#include <cstddef>
#include <span>
#include <sys/types.h>

/// New processes that borrow the memory of their parent until they execute a program or end, clone(2) with CLONE_VM:
/// that spares the copy of the page tables, the larger part of what a fork costs. Not with CLONE_VFORK, which would
/// hold us, deaf to everything, for as long as the exec takes: on a file server that does not answer, for ever. So it
/// is for the caller to wait, and meanwhile to leave alone what the child uses; errno is of that.
namespace reapctl::sys {

struct Cloned {
  pid_t pid = -1;
  UniqueFd pid_fd;
};

/// What the child runs, on `stack` and in our memory; what it returns is its exit status.
using ChildFunction = int (*)(void* argument);

/// Errors: EAGAIN, ENOMEM.
[[nodiscard]] Result<Cloned> clone_child(ChildFunction run, void* argument, std::span<std::byte> stack);

/// The same, and the child is born inside of the cgroup that `cgroup_fd` is open on: at no time is it outside. Errors:
/// as above; EACCES, EBUSY, EOPNOTSUPP: the cgroup does not take it; those of clone_into_cgroup_error().
[[nodiscard]] Result<Cloned> clone_child_into(int cgroup_fd, ChildFunction run, void* argument,
                                              std::span<std::byte> stack);

/// Why clone_child_into cannot work at all, as an errno; 0 if it can. ENOSYS: no clone3 (before Linux 5.3, or a seccomp
/// filter hides it, or this architecture is not known here); E2BIG: clone3 cannot do this yet (before 5.7). Creates
/// nothing. Source: clone(2), CLONE_INTO_CGROUP.
[[nodiscard]] int clone_into_cgroup_error();

}  // namespace reapctl::sys
