#include "engine/registration.hpp"

#include "sys/file_lock.hpp"
#include "sys/small_file.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace reapctl::engine {
namespace {

/// A sweep may take a directory that has no record yet for one that a start left behind; then it is made again.
constexpr int kAttempts = 100;

/// A record is padded to this length, so that its next version fits into the same bytes. It is one page at least, and
/// so the kernel copies it in one go: a kill does not cut it in two.
constexpr std::size_t kRoom = 4096;

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
      // What was made tells of a run that is not on record. If there is a file in it, it stays: somebody else's, or
      // ours, which give_up removes.
      (void)::unlinkat(registry_->fd(), run_id.c_str(), AT_REMOVEDIR);
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

void Registration::complete(const std::optional<Workdir>& workdir, const std::optional<RunCgroup>& cgroup,
                            const proc::ProcFs& proc) {
  if (record_.supervisor.pid != ::getpid()) {
    record_.guard = record_.supervisor;
    record_.supervisor = {.pid = ::getpid(), .start_ticks = 0};
    if (const auto self = proc.stat(::getpid())) record_.supervisor = self->id;
  }
  record_.cgroup.reset();
  if (cgroup) record_.cgroup = core::CgroupOnRecord{.path = cgroup->path(), .inode = cgroup->inode()};
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

void Registration::take_over(const std::optional<core::MainOnRecord>& main) {
  if (!lock_.valid()) return;
  auto entry = read_entry(*registry_, run_id_, codec_);
  if (!entry || !entry->record) return;  // the supervisor has taken it off already
  const core::ProcessId self = record_.supervisor;
  record_ = *std::move(entry->record);
  record_.supervisor = self;
  record_.guard.reset();
  if (main) record_.main = main;
  stored_size_ = 0;  // the file that is open here need not be the one that is there
  change_state(core::RecordState::running);
}

MainNote Registration::main_note() const {
  return {.fd = record_file_.get(),
          .lock_fds = {lock_.get()},
          .offset = encoded_.main_offset,
          .size = encoded_.main_size,
          .fill = codec_.fill_main};
}

void Registration::running(const std::optional<core::MainOnRecord>& main, core::Origin origin) {
  record_.main = main;
  record_.origin = std::move(origin);
  change_state(core::RecordState::running);
}

void Registration::leave(std::vector<core::ProcessId> leftovers) {
  if (leftovers == record_.leftovers) return;
  record_.leftovers = std::move(leftovers);
  write();
}

void Registration::change_state(core::RecordState state) {
  record_.state = state;
  write();
}

void Registration::write() {
  if (!lock_.valid()) return;
  encoded_ = codec_.encode(record_);
  if (encoded_.text.size() < kRoom) encoded_.text.resize(kRoom, ' ');
  const auto written = store();
  if (written) return;
  if (record_file_.valid()) {
    // What is there leads to every process all the same; it only does not say what has happened since.
    warnings_.push_back("the record of this run is out of date: cannot " + written.error().message());
  } else {
    give_up(written.error());
  }
}

/// A new version takes the place of the old one in the same bytes: replacing a file that was just written makes some
/// file systems write it to the disk at once (ext4(5), auto_da_alloc), which doubles the time of a start. A reader at
/// that moment may see half of each: no JSON, or a process that does not exist. To act on it takes the lock.
sys::Result<void> Registration::store() {
  const std::string& text = encoded_.text;
  if (text.size() > core::kRecordLimit) {
    return sys::Error{.code = EFBIG, .operation = "write", .subject = kRecordFile};
  }
  if (record_file_.valid() && text.size() == kRoom && stored_size_ == kRoom) {
    if (::pwrite(record_file_.get(), text.data(), text.size(), 0) == static_cast<ssize_t>(text.size())) return {};
    return sys::last_error("write", kRecordFile);
  }
  auto file = sys::replace_small_file(directory_.get(), kRecordFile, kFreshRecordFile, text);
  if (!file) return file.error();
  record_file_ = file.take();
  stored_size_ = text.size();
  return {};
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

void Registration::let_go() {
  record_file_.reset();
  lock_.reset();
  directory_.reset();
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
