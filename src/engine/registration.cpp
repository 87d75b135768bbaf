#include "engine/registration.hpp"

#include "sys/file_lock.hpp"
#include "sys/small_file.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

namespace reapctl::engine {
namespace {

/// A sweep may take a directory that has no record yet for one that a start left behind; then it is made again.
constexpr int kAttempts = 100;

}  // namespace

void Registration::open(const std::string& run_id) {
  run_id_ = run_id;
  auto registry = Registry::open_for_writing(places_, warnings_);
  if (!registry) {
    give_up(registry.error());
    return;
  }
  registry_.emplace(registry.take());
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const auto made = make_directory(run_id);
    if (made) return;
    const bool swept_away = made.error().code == ENOENT || made.error().code == EAGAIN;
    if (!swept_away || attempt + 1 == kAttempts) {
      give_up(made.error());
      return;
    }
    (void)::sched_yield();  // let the sweep finish what it is doing
  }
}

sys::Result<void> Registration::make_directory(const std::string& run_id) {
  const std::string path = registry_->path() + "/" + run_id;
  if (::mkdirat(registry_->fd(), run_id.c_str(), 0700) != 0 && errno != EEXIST) {
    return sys::last_error("create", path);
  }
  auto directory = open_run_directory(*registry_, run_id);
  if (!directory) return directory.error();
  directory_ = directory.take();
  lock_.reset(::openat(directory_.get(), kLockFile, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!lock_.valid()) return sys::last_error("create", path + "/" + kLockFile);
  if (const auto locked = sys::take_lock(lock_.get()); !locked) return locked.error();
  struct stat status {};
  // A sweep that was faster has unlinked it.
  if (::fstat(lock_.get(), &status) == 0 && status.st_nlink == 1) return {};
  return sys::Error{.code = ENOENT, .operation = "lock", .subject = path};
}

void Registration::begin(core::RunRecord record) {
  record_ = std::move(record);
  write();
}

void Registration::complete(const std::optional<Workdir>& workdir, const proc::ProcFs& proc) {
  if (record_.supervisor.pid != ::getpid()) {
    record_.guard = record_.supervisor;
    record_.supervisor = {.pid = ::getpid(), .start_ticks = 0};
    if (const auto self = proc.stat(::getpid())) record_.supervisor = self->id;
  }
  if (!workdir) {
    record_.workdir.reset();
  } else if (record_.workdir) {
    record_.workdir->identity = {.device = workdir->identity.device,
                                 .inode = workdir->identity.inode,
                                 .birth_time_ns = workdir->identity.birth_time_ns,
                                 .owner = workdir->identity.owner};
  }
  write();
}

MainNote Registration::main_note() const {
  return {
      .fd = record_file_.get(), .offset = encoded_.main_offset, .size = encoded_.main_size, .fill = codec_.fill_main};
}

void Registration::running(const std::optional<core::MainOnRecord>& main, core::Origin origin) {
  record_.main = main;
  record_.origin = std::move(origin);
  change_state(core::RecordState::running);
}

void Registration::change_state(core::RecordState state) {
  record_.state = state;
  write();
}

void Registration::write() {
  if (!lock_.valid()) return;
  encoded_ = codec_.encode(record_);
  auto file = encoded_.text.size() <= core::kRecordLimit
                  ? sys::replace_small_file(directory_.get(), kRecordFile, kFreshRecordFile, encoded_.text)
                  : sys::Error{.code = EFBIG, .operation = "write", .subject = kRecordFile};
  if (file) {
    record_file_ = file.take();
  } else if (record_file_.valid()) {
    // What is there leads to every process all the same; it only does not say what has happened since.
    warnings_.push_back("the record of this run is out of date: cannot " + file.error().message());
  } else {
    give_up(file.error());
  }
}

void Registration::give_up(const sys::Error& error) {
  warnings_.push_back("not on record, so that sweep cannot find what this run leaves if reapctl is killed: cannot " +
                      error.message());
  if (directory_.valid()) remove();
  registry_.reset();
  lock_.reset();
  directory_.reset();
}

void Registration::remove() {
  if (!lock_.valid()) return;
  if (const auto removed = remove_entry(*registry_, run_id_, directory_.get()); !removed) {
    warnings_.push_back("stays on record: cannot " + removed.error().message());
  }
  record_file_.reset();
  lock_.reset();
}

std::vector<int> Registration::descriptors() const {
  std::vector<int> open;
  for (const int fd : {registry_ ? registry_->fd() : -1, directory_.get(), lock_.get(), record_file_.get()}) {
    if (fd >= 0) open.push_back(fd);
  }
  return open;
}

sys::Result<void> remove_entry(const Registry& registry, const std::string& run_id, int directory_fd) {
  for (const char* name : {kRecordFile, kFreshRecordFile, kLockFile}) {
    if (::unlinkat(directory_fd, name, 0) != 0 && errno != ENOENT) return sys::last_error("remove", name);
  }
  if (::unlinkat(registry.fd(), run_id.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
    return sys::last_error("remove", registry.path() + "/" + run_id);
  }
  return {};
}

}  // namespace reapctl::engine
