#include "sys/clone.hpp"

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace reapctl::sys {
namespace {

/// clone3(2) as Linux 5.7 knows it; the header of an older system has no `cgroup`.
struct alignas(8) CloneArguments {
  std::uint64_t flags = 0;
  std::uint64_t pid_fd = 0;
  std::uint64_t child_tid = 0;
  std::uint64_t parent_tid = 0;
  std::uint64_t exit_signal = 0;
  std::uint64_t stack = 0;
  std::uint64_t stack_size = 0;
  std::uint64_t tls = 0;
  std::uint64_t set_tid = 0;
  std::uint64_t set_tid_size = 0;
  std::uint64_t cgroup = 0;
};
static_assert(sizeof(CloneArguments) == 88);

constexpr std::uint64_t kIntoCgroup = 0x200000000;  // CLONE_INTO_CGROUP

/// The thread sanitizer keeps its books in the memory of a thread, where two must not write at a time.
#if defined(__SANITIZE_THREAD__)
constexpr int kBorrow = CLONE_VM | CLONE_VFORK;
#else
constexpr int kBorrow = CLONE_VM;
#endif

/// glibc has no clone3 for us, and its syscall() cannot be used: the child comes back from the system call on another
/// stack, where there is no caller to return to. So the child calls `run` right here and ends with what it returns.
/// Returns the pid or minus an errno.
long clone3(CloneArguments& arguments, ChildFunction run, void* argument) {
#if defined(__x86_64__)
  long result = 0;
  register ChildFunction function asm("r8") = run;
  register void* for_function asm("r9") = argument;
  asm volatile(
      "syscall\n\t"
      "testq %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "xorl %%ebp, %%ebp\n\t"  // the outermost frame of this stack
      "movq %%r9, %%rdi\n\t"
      "callq *%%r8\n\t"
      "movl %%eax, %%edi\n\t"
      "movl %[exit], %%eax\n\t"
      "syscall\n\t"
      "hlt\n"
      "1:\n\t"
      : "=a"(result)
      : "0"(static_cast<long>(SYS_clone3)), "D"(&arguments), "S"(sizeof arguments), "r"(function),
        "r"(for_function), [exit] "i"(SYS_exit)
      : "rcx", "r11", "memory", "cc");
  return result;
#elif defined(__aarch64__)
  register long result asm("x0") = reinterpret_cast<long>(&arguments);
  register unsigned long size asm("x1") = sizeof arguments;
  register long number asm("x8") = SYS_clone3;
  register ChildFunction function asm("x10") = run;
  register void* for_function asm("x11") = argument;
  asm volatile(
      "svc #0\n\t"
      "cbnz x0, 1f\n\t"
      "mov x29, xzr\n\t"
      "mov x0, x11\n\t"
      "blr x10\n\t"
      "mov x8, %[exit]\n\t"
      "svc #0\n\t"
      "brk #0\n"
      "1:\n\t"
      : "+r"(result)
      : "r"(size), "r"(number), "r"(function), "r"(for_function), [exit] "i"(SYS_exit)
      : "memory", "cc");
  return result;
#else
  (void)arguments, (void)run, (void)argument;
  return -ENOSYS;
#endif
}

}  // namespace

Result<Cloned> clone_child(ChildFunction run, void* argument, std::span<std::byte> stack) {
  int pid_fd = -1;
  const pid_t pid = ::clone(run, stack.data() + stack.size(), kBorrow | CLONE_PIDFD | SIGCHLD, argument, &pid_fd);
  if (pid < 0) return last_error("fork");
  return Cloned{.pid = pid, .pid_fd = UniqueFd(pid_fd)};
}

Result<Cloned> clone_child_into(int cgroup_fd, ChildFunction run, void* argument, std::span<std::byte> stack) {
  int pid_fd = -1;
  CloneArguments arguments{.flags = kBorrow | CLONE_PIDFD | kIntoCgroup,
                           .pid_fd = reinterpret_cast<std::uintptr_t>(&pid_fd),
                           .exit_signal = SIGCHLD,
                           .stack = reinterpret_cast<std::uintptr_t>(stack.data()),
                           .stack_size = stack.size(),
                           .cgroup = static_cast<std::uint64_t>(cgroup_fd)};
  const long pid = clone3(arguments, run, argument);
  if (pid < 0) return Error{.code = static_cast<int>(-pid), .operation = "fork into the cgroup", .subject = {}};
  return Cloned{.pid = static_cast<pid_t>(pid), .pid_fd = UniqueFd(pid_fd)};
}

int clone_into_cgroup_error() {
#if defined(__x86_64__) || defined(__aarch64__)
  // The kernel looks at the size first (E2BIG), and then finds that this is no descriptor (EINVAL).
  CloneArguments arguments{.flags = kIntoCgroup, .cgroup = UINT64_MAX};
  if (::syscall(SYS_clone3, &arguments, sizeof arguments) >= 0) ::_exit(127);  // there is no such process
  return errno == EINVAL ? 0 : errno;
#else
  return ENOSYS;
#endif
}

}  // namespace reapctl::sys
