#pragma once

#include "core/report.hpp"
#include "core/time.hpp"
#include "engine/output.hpp"
#include "sys/event_loop.hpp"
#include "sys/result.hpp"
#include "sys/unique_fd.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace reapctl::engine {

/// The last bytes of a stream, and how many there were, in memory that a fork shares: if one reapctl process dies the
/// other goes on. Begins all zero.
struct StreamTail {
  std::atomic<std::uint64_t> bytes;
  std::atomic<std::uint64_t> spool_begin;  ///< what is held back for a slow reader lies between these in the spool
  std::atomic<std::uint64_t> spool_end;
  std::atomic<int> failure;  ///< why it is gone, if that is not its reader's doing: an errno
  std::atomic<bool> gone;    ///< nobody reads any more
};

/// One stream from the command to where it would have written by itself.
class PumpedStream {
 public:
  /// `out` is whose place the pipe takes. Errors: EMFILE, ENFILE.
  [[nodiscard]] static sys::Result<PumpedStream> open(int out, StreamTail& tail, char* ring, std::size_t size);

  [[nodiscard]] int command_end() const { return command_end_.get(); }
  void close_command_end() { command_end_.reset(); }
  [[nodiscard]] std::vector<int> descriptors() const { return {in_.get(), out_.get(), spool_.get()}; }

  void watch(sys::EventLoop& loop, sys::EventLoop::Tag readable, sys::EventLoop::Tag writable);
  void on_readable(sys::EventLoop& loop);
  void on_writable(sys::EventLoop& loop);
  /// Nobody reads any more: then the command is to notice. Closes our end, in this process.
  [[nodiscard]] bool is_gone() const { return tail_->gone.load(); }
  /// Why nothing could be passed on any more; 0 if that is not so, or nobody reads any more.
  [[nodiscard]] int failure() const { return tail_->failure.load(); }
  void close_if_gone();

  /// Nobody is left to write: passes on the rest. Returns how many bytes nobody has read.
  [[nodiscard]] std::uint64_t finish(const GiveUp& give_up, std::optional<core::TimePoint> deadline);

  [[nodiscard]] std::string last_bytes() const;
  [[nodiscard]] std::uint64_t bytes() const { return tail_->bytes.load(); }

 private:
  enum class Kind { file, socket, stream };

  void read_more();
  void remember(const char* bytes, std::size_t size);
  void pass_on(const char* bytes, std::size_t size);
  [[nodiscard]] std::size_t write_some(const char* bytes, std::size_t size);
  [[nodiscard]] std::size_t spool(const char* bytes, std::size_t size);
  void drain();
  void give_up_output(int why);
  [[nodiscard]] std::uint64_t backlog() const;
  [[nodiscard]] bool is_full() const;
  void arrange(sys::EventLoop& loop);

  sys::UniqueFd command_end_;
  sys::UniqueFd in_;
  sys::UniqueFd out_;
  sys::UniqueFd spool_;
  Kind kind_ = Kind::stream;
  bool non_blocking_ = false;
  bool ended_ = false;  ///< nobody writes any more
  bool watching_in_ = false;
  bool watching_out_ = false;
  sys::EventLoop::Tag readable_ = 0;
  sys::EventLoop::Tag writable_ = 0;
  std::string pending_;  ///< behind the spool, when that takes no more: at most what one read brings
  StreamTail* tail_ = nullptr;
  char* ring_ = nullptr;
  std::size_t size_ = 0;
};

struct UnmapTails {
  std::size_t size = 0;
  void operator()(void* memory) const;
};

/// --tail: the command's output goes through two pipes, and the end of each is kept for the report. A slow reader does
/// not hold up the command: a file of bounded size takes what it has not read yet. Only when that is full does the
/// command wait, as it would without us. When the reader is gone, the pipe breaks for the command as well.
class TailPump {
 public:
  /// Keeps the last `size` bytes of each. Errors: those of pipe2(2) and mmap(2).
  [[nodiscard]] static sys::Result<TailPump> open(std::size_t size);

  [[nodiscard]] int command_stdout() const { return streams_[0].command_end(); }
  [[nodiscard]] int command_stderr() const { return streams_[1].command_end(); }
  /// To be called after the start, and in the guard: else the pipes would never end.
  void close_command_ends();
  [[nodiscard]] std::vector<int> descriptors() const;

  /// Has `loop` tell what there is to do by the four tags from `first` on, which `handle` takes.
  void watch(sys::EventLoop& loop, sys::EventLoop::Tag first);
  /// Whether a reader is gone since: then the other reapctl process has to close_gone as well.
  [[nodiscard]] bool handle(sys::EventLoop& loop, sys::EventLoop::Tag tag);
  void close_gone();

  /// At the end of the run: passes on what is left, for as long as somebody reads, and tells the tails. What nobody
  /// would read becomes a warning.
  [[nodiscard]] core::OutputReport finish(const GiveUp& give_up, std::optional<core::TimePoint> deadline,
                                          std::vector<std::string>& warnings);

 private:
  std::unique_ptr<void, UnmapTails> memory_;
  std::array<PumpedStream, 2> streams_;
  sys::EventLoop::Tag first_ = 0;
};

}  // namespace reapctl::engine
