#include "engine/remover.hpp"

#include "engine/tree_remover.hpp"
#include "sys/unix_socket.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <span>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace reapctl::engine {
namespace {

/// Blocks every signal in this thread, and in those that it starts, while it lives.
class AllSignalsBlocked {
 public:
  AllSignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~AllSignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  AllSignalsBlocked(const AllSignalsBlocked&) = delete;
  AllSignalsBlocked& operator=(const AllSignalsBlocked&) = delete;

 private:
  sigset_t before_{};
};

/// The only write to this counter: it cannot block, nor be short.
void make_readable(int event_fd) {
  const std::uint64_t one = 1;
  (void)!::write(event_fd, &one, sizeof one);
}

/// How many removals have a thread. Each joins its helpers before it ends.
std::atomic<int> g_threads{0};

}  // namespace

bool removal_threads_exist() {
  return g_threads.load() > 0;
}

RemovalCounts RemovalProgress::counts() const {
  return {.files = files_.load(std::memory_order_relaxed),
          .directories = directories_.load(std::memory_order_relaxed),
          .bytes = bytes_.load(std::memory_order_relaxed)};
}

RemovalStats RemovalProgress::stats() const {
  const std::lock_guard lock(mutex_);
  RemovalStats stats = result_;
  stats.counts = counts();
  return stats;
}

void RemovalProgress::add_error(std::string path, int code) {
  const std::lock_guard lock(mutex_);
  ++result_.errors_total;
  if (result_.errors.size() >= core::kListLimit) return;
  result_.errors.push_back({.path = std::move(path), .errno_name = sys::errno_name(code)});
}

void RemovalProgress::add_remark(std::string text) {
  const std::lock_guard lock(mutex_);
  result_.remarks.push_back(std::move(text));
}

void RemovalProgress::set_threads(int threads) {
  const std::lock_guard lock(mutex_);
  result_.threads = threads;
}

void RemovalProgress::set_complete() {
  const std::lock_guard lock(mutex_);
  result_.complete = true;
}

void remove_directory(int parent_fd, const std::string& name, const DirectoryIdentity& expected,
                      RemovalProgress& progress) {
  TreeRemover(parent_fd, name, expected, progress).run();
}

std::optional<RemovalStats> remove_if_empty(int parent_fd, const std::string& name, int directory_fd,
                                            const DirectoryIdentity& expected) {
  // A directory that was large once is read from end to end before it turns out to be empty.
  constexpr std::int64_t kOneBlock = 4096;
  struct stat status {};
  if (::fstat(directory_fd, &status) != 0 || status.st_size > kOneBlock) return std::nullopt;
  alignas(8) std::array<std::byte, 512> buffer;
  const auto length = sys::read_entries(directory_fd, buffer);
  if (!length) return std::nullopt;
  sys::DirectoryEntry entry;
  if (sys::EntryCursor(std::span(buffer).first(*length)).next(entry)) return std::nullopt;
  const auto named = sys::name_subdirectory(parent_fd, name.c_str());
  const auto identity = named ? sys::directory_identity(named->get()) : named.error();
  if (!identity || *identity != expected) return std::nullopt;
  if (::unlinkat(parent_fd, name.c_str(), AT_REMOVEDIR) != 0) return std::nullopt;
  RemovalStats stats;
  stats.counts = {.files = 0, .directories = 1, .bytes = std::int64_t{status.st_blocks} * 512};
  stats.complete = true;
  return stats;
}

sys::Result<RemovalJob> RemovalJob::start(RemovalOrder order) {
  auto state = std::make_shared<State>();
  state->order = std::move(order);
  state->done.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!state->done.valid()) return sys::last_error("eventfd");
  RemovalJob job(state);
  const auto work = [state] {
    remove_paths(*state);
    const RemovalOrder& todo = state->order;
    if (!todo.name.empty()) remove_directory(todo.parent.get(), todo.name, todo.expected, state->progress);
    make_readable(state->done.get());
    --g_threads;
  };
  ++g_threads;
  try {
    const AllSignalsBlocked blocked;
    job.thread_ = std::thread(work);
  } catch (const std::system_error&) {
    --g_threads;
    remove_paths(*state);
    const RemovalOrder& todo = state->order;
    if (!todo.name.empty()) {
      job.remover_ = std::make_unique<TreeRemover>(todo.parent.get(), todo.name, todo.expected, state->progress);
    }
    make_readable(state->done.get());
  }
  return job;
}

void RemovalJob::remove_paths(State& state) {
  for (const std::string& path : state.order.paths) {
    // Nobody of this run is alive: if the socket is bound, a successor has bound it.
    const bool in_use = sys::is_bound_socket(AT_FDCWD, path.c_str());
    // A thread that was left behind has no descriptors any more, and then no socket looks used.
    if (state.progress.stopping()) return;
    if (in_use) {
      state.progress.add_remark(path + " is a socket in use: left alone");
    } else if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
      state.progress.add_remark("cannot " + sys::last_error("unlink", path).message());
    }
  }
  if (state.order.name.empty()) state.progress.set_complete();
}

RemovalJob::RemovalJob(std::shared_ptr<State> state) : state_(std::move(state)) {}

RemovalJob::RemovalJob(RemovalJob&&) noexcept = default;

RemovalJob::~RemovalJob() {
  if (thread_.joinable()) abandon();
}

bool RemovalJob::ended() {
  if (remover_ != nullptr && remover_->run_until(core::Clock::now() + kPart)) remover_.reset();
  return remover_ == nullptr;
}

RemovalStats RemovalJob::take_result() {
  if (thread_.joinable()) thread_.join();
  if (remover_ != nullptr) (void)remover_->run_until(core::TimePoint::max());
  return state_->progress.stats();
}

RemovalStats RemovalJob::abandon() {
  state_->progress.stop();
  if (thread_.joinable()) thread_.detach();
  return state_->progress.stats();
}

}  // namespace reapctl::engine
