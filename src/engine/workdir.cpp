#include "engine/workdir.hpp"

#include <climits>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace reapctl::engine {
namespace {

std::string absolute(const std::string& path) {
  if (path.starts_with('/')) return path;
  char current[PATH_MAX];
  if (::getcwd(current, sizeof current) == nullptr) return path;
  return std::string(current).append("/").append(path);
}

}  // namespace

std::string workdir_name(const std::string& run_id) {
  return "reapctl-" + run_id;
}

std::string workdir_path(const std::string& base, const std::string& run_id) {
  std::string path = absolute(base);
  if (!path.ends_with('/')) path += '/';
  return path + workdir_name(run_id);
}

sys::Result<Workdir> make_workdir(const std::string& base, const std::string& run_id) {
  Workdir workdir;
  workdir.name = workdir_name(run_id);
  workdir.path = workdir_path(base, run_id);
  workdir.base.reset(::open(base.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!workdir.base.valid()) return sys::last_error("open", base);
  if (::mkdirat(workdir.base.get(), workdir.name.c_str(), 0700) != 0) return sys::last_error("create", workdir.path);
  sys::Error error;
  workdir.directory.reset(
      ::openat(workdir.base.get(), workdir.name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!workdir.directory.valid()) {
    error = sys::last_error("open", workdir.path);
  } else if (auto identity = sys::directory_identity(workdir.directory.get()); !identity) {
    error = identity.error();
  } else {
    workdir.identity = *identity;
    // The caller's umask may have taken rights away; and not every file system knows locks, which is no reason to stop.
    (void)::fchmod(workdir.directory.get(), 0700);
    (void)::flock(workdir.directory.get(), LOCK_EX | LOCK_NB);
    return workdir;
  }
  (void)::unlinkat(workdir.base.get(), workdir.name.c_str(), AT_REMOVEDIR);  // the first error is the one to tell
  return error;
}

}  // namespace reapctl::engine
