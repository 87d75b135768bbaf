#include "engine/tail_pump.hpp"

#include <new>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>

namespace reapctl::engine {

static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "a lock in shared memory would outlive its holder");

void UnmapTails::operator()(void* memory) const {
  (void)::munmap(memory, size);
}

sys::Result<TailPump> TailPump::open(std::size_t size) {
  TailPump pump;
  const std::size_t room = 2 * (sizeof(StreamTail) + size);
  void* memory = ::mmap(nullptr, room, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return sys::last_error("mmap");
  pump.memory_ = {memory, UnmapTails{.size = room}};
  auto* const tails = static_cast<StreamTail*>(memory);  // all zero is what they begin with
  char* ring = static_cast<char*>(memory) + 2 * sizeof(StreamTail);
  for (std::size_t i = 0; i < 2; ++i) {
    auto stream = PumpedStream::open(i == 0 ? STDOUT_FILENO : STDERR_FILENO, tails[i], ring + i * size, size);
    if (!stream) return stream.error();
    pump.streams_[i] = stream.take();
  }
  return pump;
}

void TailPump::close_command_ends() {
  for (PumpedStream& stream : streams_) stream.close_command_end();
}

std::vector<int> TailPump::descriptors() const {
  std::vector<int> open = streams_[0].descriptors();
  const std::vector<int> other = streams_[1].descriptors();
  open.insert(open.end(), other.begin(), other.end());
  return open;
}

void TailPump::watch(sys::EventLoop& loop, sys::EventLoop::Tag first) {
  first_ = first;
  for (unsigned i = 0; i < 2; ++i) streams_[i].watch(loop, first + 2 * i, first + 2 * i + 1);
}

bool TailPump::handle(sys::EventLoop& loop, sys::EventLoop::Tag tag) {
  PumpedStream& stream = streams_[(tag - first_) / 2];
  const bool was_gone = stream.is_gone();
  if ((tag - first_) % 2 == 0) {
    stream.on_readable(loop);
  } else {
    stream.on_writable(loop);
  }
  return !was_gone && stream.is_gone();
}

void TailPump::close_gone() {
  for (PumpedStream& stream : streams_) stream.close_if_gone();
}

core::OutputReport TailPump::finish(const GiveUp& give_up, std::optional<core::TimePoint> deadline,
                                    std::vector<std::string>& warnings) {
  for (std::size_t i = 0; i < 2; ++i) {
    const std::uint64_t lost = streams_[i].finish(give_up, deadline);
    const std::string name = i == 0 ? "stdout" : "stderr";
    if (const int failure = streams_[i].failure(); failure != 0) {
      const sys::Error why{.code = failure, .operation = "write", .subject = {}};
      warnings.push_back("--tail: not all of " + name + " was passed on: cannot " + why.message());
    }
    if (lost == 0) continue;
    warnings.push_back("--tail: the last " + std::to_string(lost) + " bytes of " + name +
                       " were not passed on: nobody read them");
  }
  return {.stdout_tail = streams_[0].last_bytes(),
          .stderr_tail = streams_[1].last_bytes(),
          .stdout_bytes = static_cast<std::int64_t>(streams_[0].bytes()),
          .stderr_bytes = static_cast<std::int64_t>(streams_[1].bytes())};
}

}  // namespace reapctl::engine
