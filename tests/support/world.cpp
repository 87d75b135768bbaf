#include "support/world.hpp"

#include "support/cgroup.hpp"
#include "support/forked.hpp"
#include "support/json_sink.hpp"
#include "support/namespace.hpp"
#include "support/process.hpp"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <grp.h>
#include <sched.h>
#include <stdexcept>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace reapctl::test {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::seconds kLimit{60};
constexpr uid_t kNobody = 65534;
constexpr const char* kJsonVariable = "REAPCTL_TEST_JSON_DIR";

[[noreturn]] void give_up(const std::string& what) {
  throw std::runtime_error(what + ": " + std::strerror(errno));
}

void die_with_parent(pid_t parent) {
  (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(99);
}

/// For whoever is not root: the same user, with the right to make the other namespaces. The exec of a program ends it.
void enter_user_namespace() {
  const std::string uid = std::to_string(::getuid());
  const std::string gid = std::to_string(::getgid());
  if (::unshare(CLONE_NEWUSER) != 0) give_up("unshare");
  write_file("/proc/self/setgroups", "deny");
  write_file("/proc/self/uid_map", uid + " " + uid + " 1");
  write_file("/proc/self/gid_map", gid + " " + gid + " 1");
}

void mount_file(const std::string& from, const std::string& to) {
  write_file(to, "");
  if (::mount(from.c_str(), to.c_str(), nullptr, MS_BIND, nullptr) != 0) give_up("mount " + from);
}

void make_directory(const std::string& path) {
  fs::create_directory(path);
  fs::permissions(path, fs::perms::all | fs::perms::sticky_bit);
}

/// A cgroup below ours in which `owner` can do what he likes; empty where that is not ours to make.
std::string delegate_cgroup(uid_t owner) {
  const std::string above = own_cgroup();
  if (above.empty()) return {};
  std::string cgroup = above + "/reapctl-test-" + std::to_string(::getpid());
  std::error_code refused;
  if (!fs::create_directory(cgroup, refused) || refused) return {};
  for (const char* child : {"", "/other", "/prison"}) {
    fs::create_directory(cgroup + child, refused);
    for (const char* file :
         {"", "/cgroup.procs", "/cgroup.threads", "/cgroup.subtree_control", "/cgroup.freeze", "/cgroup.kill"}) {
      (void)!::chown((cgroup + child + file).c_str(), owner, static_cast<gid_t>(-1));  // not all are in every kernel
    }
  }
  return cgroup;
}

/// The subgroups first; what is still dying in there keeps a cgroup for a moment.
void remove_cgroup(const std::string& cgroup) {
  std::error_code gone;
  for (const auto& entry : fs::directory_iterator(cgroup, gone)) {
    if (entry.is_directory(gone)) remove_cgroup(entry.path());
  }
  EXPECT_TRUE(await([&] { return ::rmdir(cgroup.c_str()) == 0 || errno == ENOENT; })) << cgroup;
}

World furnish(User user) {
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) give_up("make mounts private");
  if (::mount("tmpfs", "/run", "tmpfs", 0, "mode=755") != 0) give_up("mount /run");
  const std::string programs = "/run/bin";
  fs::create_directory(programs);
  mount_file(reapctl_path(), programs + "/reapctl");
  mount_file(misbehave_path(), programs + "/misbehave");
  World world{.directory = "/run/files", .set_uid = {}, .cgroup = {}};
  if (::geteuid() == 0) {
    world.set_uid = programs + "/set-uid";
    fs::copy_file(misbehave_path(), world.set_uid);
    if (user == User::self && ::chown(world.set_uid.c_str(), kNobody, kNobody) != 0) give_up("chown");
    if (::chmod(world.set_uid.c_str(), 04755) != 0) give_up("chmod");
  }
  use_programs_in(programs);
  make_directory(world.directory);
  make_directory("/run/tmp");
  make_directory("/run/json");
  world.cgroup = delegate_cgroup(user == User::nobody ? kNobody : ::geteuid());
  return world;
}

void become_nobody() {
  if (::setgroups(0, nullptr) != 0 || ::setresgid(kNobody, kNobody, kNobody) != 0 ||
      ::setresuid(kNobody, kNobody, kNobody) != 0) {
    give_up("become nobody");
  }
  (void)::prctl(PR_SET_DUMPABLE, 1);         // or /proc would be closed to us
  (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);  // credentials(7): the change has cleared it
}

void be_first_process(User user, const World& world, const std::function<void(const World&)>& body) {
  if (::mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0) give_up("mount /proc");
  if (has_own_pid_max()) write_file("/proc/sys/kernel/pid_max", "8192");
  if (!world.cgroup.empty()) write_file(world.cgroup + "/cgroup.procs", "0");
  (void)::setenv("TMPDIR", "/run/tmp", 1);
  if (std::getenv(kJsonVariable) != nullptr) (void)::setenv(kJsonVariable, "/run/json", 1);
  if (user == User::nobody) become_nobody();
  body(world);
}

/// What was kept in there is for the same check as everything else.
void keep_documents() {
  for (const auto& entry : fs::directory_iterator("/run/json")) {
    const std::string name = entry.path().filename();
    keep_json(name.substr(0, name.find('-')), read_file(entry.path()));
  }
}

/// Whether all went well in there.
bool stay_outside(pid_t first, const World& world) {
  EXPECT_TRUE(await_end(first, kLimit)) << "not over after a minute";
  (void)::kill(first, SIGKILL);
  int status = -1;
  (void)::waitpid(first, &status, 0);
  keep_documents();
  if (!world.cgroup.empty()) remove_cgroup(world.cgroup);
  return status == 0;
}

/// So many assertions of this test have failed.
int failures() {
  const testing::TestResult& result = *testing::UnitTest::GetInstance()->current_test_info()->result();
  int failed = 0;
  for (int i = 0; i < result.total_part_count(); ++i) failed += result.GetTestPartResult(i).failed() ? 1 : 0;
  return failed;
}

/// 0 if all went well, for an exit status.
int guarded(const std::function<bool()>& body) {
  const int before = failures();
  bool fine = false;
  try {
    fine = body();
  } catch (const std::exception& error) {
    ADD_FAILURE() << error.what();
  }
  std::fflush(nullptr);
  return fine && failures() == before ? 0 : 1;
}

}  // namespace

bool can_make_cgroups() {
  const std::string above = own_cgroup();
  return !above.empty() && ::access(above.c_str(), W_OK | X_OK) == 0;
}

void in_a_world_apart(User user, const std::function<void(const World& world)>& body) {
  std::fflush(nullptr);
  const pid_t test = ::getpid();
  const int status = status_of_forked([&] {
    die_with_parent(test);
    return guarded([&] {
             if (::geteuid() != 0) enter_user_namespace();
             if (::unshare(CLONE_NEWNS | CLONE_NEWPID) != 0) give_up("unshare");
             const World world = furnish(user);
             std::fflush(nullptr);
             const pid_t first = must_fork();
             if (first == 0) {
               (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);
               ::_exit(guarded([&] {
                 be_first_process(user, world, body);
                 return true;
               }));
             }
             return stay_outside(first, world);
           }) == 0;
  });
  EXPECT_EQ(status, 0) << "see above";
}

}  // namespace reapctl::test
