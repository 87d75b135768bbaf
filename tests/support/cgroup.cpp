#include "support/cgroup.hpp"

#include "support/environment.hpp"
#include "support/forked.hpp"
#include "support/process.hpp"

#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

namespace reapctl::test {
namespace {

namespace fs = std::filesystem;

std::string new_name() {
  static std::atomic<int> count{0};
  return own_cgroup() + "/test-" + std::to_string(::getpid()) + "-" + std::to_string(count++);
}

bool is_populated(const std::string& cgroup) {
  return read_file(cgroup + "/cgroup.events").find("populated 1") != std::string::npos;
}

void remove_with_all_below(const std::string& cgroup) {
  std::vector<fs::path> below;
  std::error_code gone;
  for (const auto& entry : fs::directory_iterator(cgroup, gone)) {
    if (entry.is_directory(gone)) below.push_back(entry.path());
  }
  for (const fs::path& each : below) remove_with_all_below(each.string());
  (void)::rmdir(cgroup.c_str());
}

}  // namespace

std::string cgroup_obstacle() {
  if (own_cgroup().empty()) return "cgroup v2 is not mounted here";
  if (::access((own_cgroup() + "/cgroup.procs").c_str(), W_OK) != 0) return "our cgroup is not delegated to us";
  const std::string name = new_name();
  if (::mkdir(name.c_str(), 0755) != 0) return "no cgroup can be made here";
  const bool kills = fs::exists(name + "/cgroup.kill");
  (void)::rmdir(name.c_str());
  return kills ? "" : "this kernel has no cgroup.kill, without which a test cannot clean up";
}

TestCgroup::TestCgroup() : path_(new_name()) {
  EXPECT_EQ(::mkdir(path_.c_str(), 0755), 0) << path_;
}

TestCgroup::~TestCgroup() {
  std::ofstream(path_ + "/cgroup.kill") << "1";
  EXPECT_TRUE(await([this] { return !is_populated(path_); })) << path_;
  remove_with_all_below(path_);
  EXPECT_FALSE(fs::exists(path_)) << path_;
}

void TestCgroup::delegate(uid_t uid) const {
  for (const char* file : {"", "/cgroup.procs", "/cgroup.threads", "/cgroup.subtree_control"}) {
    EXPECT_EQ(::chown((path_ + file).c_str(), uid, static_cast<gid_t>(-1)), 0) << path_ << file;
  }
}

bool enter_cgroup(const std::string& cgroup, pid_t pid) {
  std::ofstream procs(cgroup + "/cgroup.procs");
  procs << pid << std::flush;
  return procs.good();
}

std::string cgroup_directory_of(pid_t pid) {
  const std::string text = read_file("/proc/" + std::to_string(pid) + "/cgroup");
  const auto begin = text.rfind("0::");
  if (begin == std::string::npos) return {};
  const std::string path = text.substr(begin, text.find('\n', begin) - begin);
  const auto run = path.rfind("/reapctl-");
  return run == std::string::npos ? std::string() : own_cgroup() + path.substr(run);
}

Outsider::Outsider() : pid_(must_fork()) {
  if (pid_ != 0) return;
  (void)::setsid();
  for (;;) ::pause();
}

Outsider::~Outsider() {
  (void)::kill(pid_, SIGKILL);
  (void)::waitpid(pid_, nullptr, 0);
}

}  // namespace reapctl::test
