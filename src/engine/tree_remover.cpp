#include "engine/tree_remover.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace reapctl::engine {
namespace {

/// Blocks that unlinking this name will free. Where nothing is waited for this look costs a fifth of the whole removal,
/// which other threads make up for; from a disk, it brings in the inode that unlinking needs anyway. Two threads
/// that unlink the last two names of a file at the same moment may each see the other's name; its blocks are then not
/// counted.
std::int64_t bytes_freed(int directory_fd, const char* name) {
  struct statx status {};
  constexpr int kFlags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;
  if (::statx(directory_fd, name, kFlags, STATX_NLINK | STATX_BLOCKS, &status) != 0) return 0;
  return status.stx_nlink == 1 ? static_cast<std::int64_t>(status.stx_blocks) * 512 : 0;
}

/// unlinkat(2); in a directory that we own and may not write, again after a chmod.
int unlink_in(const RemovalDirectory& directory, const char* name, int flags) {
  if (::unlinkat(directory.fd(), name, flags) == 0) return 0;
  const int code = errno;  // that somebody else's directory cannot be made passable is no reason of its own
  if (code != EACCES || !directory.make_passable()) return code;
  return ::unlinkat(directory.fd(), name, flags) == 0 ? 0 : errno;
}

/// Threads that may hold as many descriptors as they can come to need, and leave some to the rest of the process.
std::size_t thread_limit() {
  constexpr rlim_t kOthers = 64;
  constexpr rlim_t kEach = TreeRemover::kMostDepth + 2;
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur < kOthers + kEach) return 1;
  return (files.rlim_cur - kOthers) / kEach;
}

/// A disk or a server answers many at once, and who waits for it hardly needs a processor. Where each block that is
/// freed is discarded at once, 24 take a tenth less time than 16, and more gain nothing. In memory so many only wait
/// for each other's locks, which costs a tenth and leaves them faster than one (tests/bench/delete).
constexpr std::size_t kThreads = 24;
/// Most directories are gone by then, and starting threads would only have delayed that.
constexpr std::chrono::milliseconds kAlone(2);

/// Opens a subdirectory for reading, whatever its mode, if we own it.
sys::Result<sys::UniqueFd> open_in(const RemovalDirectory& directory, const char* name) {
  auto fd = sys::open_subdirectory(directory.fd(), name);
  if (fd || fd.error().code != EACCES) return fd;
  // Either of the two: the directory it is in may not be searched, or it may not be read itself.
  (void)directory.make_passable();
  auto named = sys::name_subdirectory(directory.fd(), name);
  if (!named) return named;
  return sys::open_named(named->get());
}

std::int64_t to_ns(const statx_timestamp& time) {
  return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

std::int64_t now_ns() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

std::string unique_prefix() {
  // Not a name that an earlier, interrupted removal may have left behind.
  return ".reapctl-" + std::to_string(std::chrono::steady_clock::now().time_since_epoch().count()) + "-";
}

}  // namespace

TreeRemover::TreeRemover(int parent_fd, const std::string& name, const DirectoryIdentity& expected,
                         RemovalProgress& progress)
    : parent_fd_(parent_fd),
      name_(name),
      expected_(expected),
      progress_(progress),
      lifted_prefix_(unique_prefix()),
      began_ns_(now_ns()) {}

void TreeRemover::run() {
  progress_.set_threads(1);
  if (run_until(core::Clock::now() + kAlone)) return;
  start_helpers();
  (void)work(here_, std::nullopt);
  helpers_.clear();
}

bool TreeRemover::run_until(core::TimePoint end) {
  if (root_ == nullptr && !begin()) return true;
  return work(here_, end);
}

/// False if there is nothing to do, or nothing may be done.
bool TreeRemover::begin() {
  auto named = name_root();
  auto fd = named ? sys::open_named(named->get()) : std::move(named);
  if (!fd && fd.error().code == ENOENT) {
    progress_.set_complete();
  } else if (!fd) {
    progress_.add_error(name_, fd.error().code);
  } else {
    root_ = std::make_shared<RemovalDirectory>(fd.take(), name_, nullptr);
    board_.add(root_);
  }
  return root_ != nullptr;
}

sys::Result<sys::UniqueFd> TreeRemover::name_root() const {
  auto named = sys::name_subdirectory(parent_fd_, name_.c_str());
  if (!named) return named;
  const auto identity = sys::directory_identity(named->get());
  if (!identity) return identity.error();
  if (*identity != expected_) return sys::Error{.code = ESTALE, .operation = "identify", .subject = name_};
  return named;
}

void TreeRemover::start_helpers() {
  const std::size_t threads = std::min(kThreads, thread_limit());
  try {
    while (helpers_.size() + 1 < threads) {
      helpers_.emplace_back([this] {
        Ptr directory;
        (void)work(directory, std::nullopt);
      });
    }
  } catch (const std::system_error&) {
    // A limit on threads: those that there are do it.
  }
  progress_.set_threads(static_cast<int>(helpers_.size()) + 1);
}

bool TreeRemover::work(Ptr& directory, std::optional<core::TimePoint> until) {
  EntrySlice slice;
  while (!progress_.stopping()) {
    if (until && core::Clock::now() >= *until) return false;
    if (directory == nullptr && (directory = next_directory()) == nullptr) return true;
    const auto claimed = directory->claim(slice);
    if (claimed && *claimed == RemovalDirectory::Claim::slice) {
      directory = work_on_slice(std::move(directory), slice);
      continue;
    }
    if (claimed && *claimed == RemovalDirectory::Claim::ended) {
      directory = directory->above();
      continue;
    }
    if (!claimed) failed(*directory, ".", claimed.error().code);
    board_.remove(*directory);
    directory = directory->drop() ? emptied(std::move(directory)) : directory->above();
  }
  return true;
}

TreeRemover::Ptr TreeRemover::next_directory() {
  while (auto work = board_.take(progress_.stop_token())) {
    if (work->directory != nullptr) return work->directory;
    Ptr next = enter(root_, lifted_name(work->lifted).c_str());
    if (root_->drop()) next = emptied(root_);  // then others are done with what was entered
    if (next != nullptr) return next;
  }
  return nullptr;
}

/// Returns where to go on. The caller must not keep `directory`: as long as somebody does, it and all those above it
/// hold their descriptors.
TreeRemover::Ptr TreeRemover::work_on_slice(Ptr directory, const EntrySlice& slice) {
  sys::EntryCursor cursor = slice.entries();
  sys::DirectoryEntry entry;
  Ptr next;
  const bool skip_lifted = directory == root_ && directory->first_scan();
  while (!progress_.stopping() && cursor.next(entry)) {
    // Those are on the board.
    if (skip_lifted && std::string_view(entry.name).starts_with(lifted_prefix_)) continue;
    // The type only says what to try first; the kernel says what it is when it is touched.
    if (entry.type != DT_DIR && remove_file(*directory, entry.name)) continue;
    if (Ptr entered = enter(directory, entry.name)) next = std::move(entered);
  }
  // Others may have found `next` on the board and be done with it already.
  if (directory->drop()) return emptied(std::move(directory));
  return next != nullptr ? next : directory;
}

bool TreeRemover::remove_file(RemovalDirectory& directory, const char* name) {
  const std::int64_t bytes = bytes_freed(directory.fd(), name);
  const int code = unlink_in(directory, name, 0);
  if (code == EISDIR) return false;
  if (code == 0) progress_.add_file(bytes);
  if (code != 0 && code != ENOENT) failed(directory, name, code);
  return true;
}

TreeRemover::Ptr TreeRemover::enter(const Ptr& directory, const char* name) {
  if (directory->depth() >= kMaxDepth) {
    const int code = lift(*directory, name);
    if (code == 0) return nullptr;
    // A full disk, on which the work directory cannot grow by one more name, or a quota. What lies below makes room.
    if (directory->depth() >= kMostDepth) {
      failed(*directory, name, code);
      return nullptr;
    }
  }
  auto fd = open_in(*directory, name);
  if (!fd) return enter_failed(directory, name, fd.error().code);
  if (newborn_.load(std::memory_order_relaxed) >= kMaxNewborn) {
    struct statx status {};
    if (::statx(fd->get(), "", AT_EMPTY_PATH, STATX_BTIME, &status) == 0 && is_newborn(status)) {
      failed(*directory, name, ENOTEMPTY);
      return nullptr;
    }
  }
  directory->hold();
  auto entered = std::make_shared<RemovalDirectory>(fd.take(), name, directory);
  board_.add(entered);
  return entered;
}

TreeRemover::Ptr TreeRemover::enter_failed(const Ptr& directory, const char* name, int code) {
  if (code == ENOENT) return nullptr;
  if (code == ENOTDIR || code == ELOOP) {
    // It was replaced since it was read. If it keeps changing, its directory turns out not to be empty and is read
    // again.
    (void)remove_file(*directory, name);
  } else if ((code == EMFILE || code == ENFILE) && directory->depth() > 0) {
    const int lifting = lift(*directory, name);
    if (lifting != 0) failed(*directory, name, lifting);
  } else if (code != EXDEV && ::unlinkat(directory->fd(), name, AT_REMOVEDIR) == 0) {
    progress_.add_directory(0);  // it could not be read, but it was empty
  } else {
    failed(*directory, name, code);
  }
  return nullptr;
}

std::string TreeRemover::lifted_name(std::int64_t number) const {
  return lifted_prefix_ + std::to_string(number);
}

/// Returns 0 when there is nothing left to do about that name, else why it could not be moved.
int TreeRemover::lift(RemovalDirectory& directory, const char* name) {
  const std::lock_guard lock(lifting_);
  const std::string target = lifted_name(next_lifted_);
  // Should the name be taken, all that a rename can replace is something else in the tree.
  int result = ::renameat(directory.fd(), name, root_->fd(), target.c_str());
  if (result != 0 && errno == EACCES) {
    // Moving a directory writes to both directories and to its own "..".
    (void)directory.make_passable();
    (void)root_->make_passable();
    if (const auto fd = open_in(directory, name)) (void)::fchmod(fd->get(), S_IRWXU);
    result = ::renameat(directory.fd(), name, root_->fd(), target.c_str());
  }
  if (result == 0) {
    ++next_lifted_;
    root_->hold();
    board_.add_lifted();
    return 0;
  }
  const int code = errno;
  if (code == ENOENT) return 0;
  if (::unlinkat(directory.fd(), name, AT_REMOVEDIR) != 0) return code;
  progress_.add_directory(0);
  return 0;
}

/// Nothing has to be waited for in `directory` any more. Removes it, and likewise the directory above it if this was
/// the last in there. Returns the first that has to be read again, or is not done; null when all is.
TreeRemover::Ptr TreeRemover::emptied(Ptr directory) {
  do {
    const Removed removed = remove_emptied(*directory);
    if (removed == Removed::read_again) {
      board_.add(directory);
      return directory;
    }
    if (directory == root_) {
      board_.close();
      return nullptr;
    }
    if (removed == Removed::no) directory->above()->keep();
    directory = directory->above();
  } while (directory->drop());
  return directory;
}

TreeRemover::Removed TreeRemover::remove_emptied(RemovalDirectory& directory) {
  if (directory.kept()) return Removed::no;
  struct statx status {};
  (void)::statx(directory.fd(), "", AT_EMPTY_PATH, STATX_BLOCKS | STATX_BTIME, &status);  // failed: nothing to add
  const auto bytes = static_cast<std::int64_t>(status.stx_blocks) * 512;
  const char* name = directory.name().c_str();
  const bool root = directory.above() == nullptr;
  const int code = root ? remove_root_name() : unlink_in(*directory.above(), name, AT_REMOVEDIR);
  if (code == 0) {
    progress_.add_directory(bytes);
    if (root) progress_.set_complete();
    if (is_newborn(status)) newborn_.fetch_add(1, std::memory_order_relaxed);
    return Removed::yes;
  }
  if (code == ENOTEMPTY && directory.read_again()) return Removed::read_again;
  if (root) {
    progress_.add_error(name_, code);
    return Removed::no;
  }
  // It was moved away; perhaps something else stands in its place.
  if (code == ENOENT || (code == ENOTDIR && remove_file(*directory.above(), name))) return Removed::yes;
  failed(*directory.above(), name, code);
  return Removed::no;
}

/// Whether it was made after the removal began. Not if it was made in the future: clocks are set back, and those of a
/// file server differ.
bool TreeRemover::is_newborn(const struct statx& status) const {
  if ((status.stx_mask & STATX_BTIME) == 0) return false;
  const std::int64_t born_ns = to_ns(status.stx_btime);
  return born_ns > began_ns_ && born_ns <= now_ns();
}

int TreeRemover::remove_root_name() const {
  // rmdir(2) takes a name: what another directory of this name could lose in the instant that remains is itself, empty.
  const auto still = name_root();
  if (!still) return still.error().code;
  return ::unlinkat(parent_fd_, name_.c_str(), AT_REMOVEDIR) == 0 ? 0 : errno;
}

void TreeRemover::failed(RemovalDirectory& directory, const char* name, int code) {
  directory.keep();
  progress_.add_error(directory.path_of(name), code);
}

}  // namespace reapctl::engine
