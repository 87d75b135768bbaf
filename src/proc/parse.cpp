#include "proc/parse.hpp"

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstddef>
#include <limits>
#include <system_error>

namespace reapctl::proc {
namespace {

// Of sched.h.
constexpr std::uint64_t kExiting = 0x00000004;   // PF_EXITING
constexpr std::uint64_t kSignaled = 0x00000400;  // PF_SIGNALED: a signal is killing it, its core may be being written
constexpr std::uint64_t kKernelThread = 0x00200000;  // PF_KTHREAD

/// Hands out the fields that follow one another, each preceded by one space.
class Fields {
 public:
  explicit Fields(std::string_view rest) : rest_(rest) {}

  template <class Number>
  Fields& number(Number& value) {
    const std::string_view word = next();
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    ok_ = ok_ && error == std::errc{} && end == word.data() + word.size();
    return *this;
  }

  Fields& letter(char& value) {
    const std::string_view word = next();
    ok_ = ok_ && word.size() == 1;
    if (ok_) value = word.front();
    return *this;
  }

  Fields& skip(int count) {
    while (count-- > 0) (void)next();
    return *this;
  }

  [[nodiscard]] bool ok() const { return ok_; }

 private:
  /// A field counts only with the separator behind it: a number that the text breaks off in would be a wrong number.
  std::string_view next() {
    std::size_t end = 1;  // by hand: find_first_of took a quarter of the time of a look that is not the kernel's
    while (end < rest_.size() && rest_[end] != ' ' && rest_[end] != '\n') ++end;
    if (rest_.empty() || rest_.front() != ' ' || end >= rest_.size()) {
      ok_ = false;
      return {};
    }
    const std::string_view word = rest_.substr(1, end - 1);
    rest_.remove_prefix(end);
    return word;
  }

  std::string_view rest_;
  bool ok_ = true;
};

/// What is behind `label` on its line in /proc/PID/status; empty without such a line. The label begins with a newline:
/// status escapes newlines in the comm, so a process can't forge such a line.
std::string_view behind(std::string_view status, std::string_view label) {
  const std::size_t at = status.find(label);
  if (at == std::string_view::npos) return {};
  std::string_view rest = status.substr(at + label.size());
  return take_line(rest);
}

/// The hexadecimal number behind `label`.
std::optional<std::uint64_t> mask_after(std::string_view status, std::string_view label) {
  const std::string_view rest = behind(status, label);
  std::uint64_t mask = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), mask, 16);
  if (error != std::errc{} || end != rest.data() + rest.size()) return std::nullopt;
  return mask;
}

}  // namespace

std::string_view take_line(std::string_view& text) {
  const std::size_t end = std::min(text.find('\n'), text.size());
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return line;
}

std::string_view take_word(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  const std::string_view word = line.substr(0, line.find(' '));
  line.remove_prefix(word.size());
  return word;
}

bool SignalMasks::ignores(int signal) const {
  if (signal < 1 || signal > std::numeric_limits<std::uint64_t>::digits) return false;
  return ((ignored >> (signal - 1)) & 1U) != 0;
}

std::optional<core::ProcessStat> parse_stat(std::string_view text) {
  const std::size_t open = text.find(" (");
  const std::size_t close = text.rfind(')');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open + 2) return std::nullopt;

  core::ProcessStat stat;
  const auto [pid_end, error] = std::from_chars(text.data(), text.data() + open, stat.id.pid);
  if (error != std::errc{} || pid_end != text.data() + open) return std::nullopt;
  stat.comm = text.substr(open + 2, close - open - 2);

  std::uint64_t flags = 0;
  std::uint64_t pending = 0;
  std::int64_t utime = 0;
  std::int64_t stime = 0;
  Fields fields(text.substr(close + 1));
  fields.letter(stat.state).number(stat.ppid).number(stat.pgid).number(stat.sid).number(stat.tty_nr);
  fields.number(stat.tpgid).number(flags);
  fields.skip(4).number(utime).number(stime);  // minflt cminflt majflt cmajflt
  fields.skip(4).number(stat.threads);         // cutime cstime priority nice
  fields.skip(1).number(stat.id.start_ticks);  // itrealvalue
  fields.skip(1).number(stat.rss_pages);       // vsize
  if (!fields.ok()) return std::nullopt;
  if (__builtin_add_overflow(utime, stime, &stat.cpu_ticks)) return std::nullopt;
  fields.skip(6).number(pending);  // rsslim startcode endcode startstack kstkesp kstkeip
  stat.doomed = (flags & (kExiting | kSignaled)) != 0 || (pending >> (SIGKILL - 1) & 1U) != 0;
  fields.skip(18);  // blocked … arg_start arg_end
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::uint64_t exit_code = 0;
  // Since Linux 3.5; a line without them is complete all the same.
  if (fields.number(begin).number(end).ok()) {
    stat.environment_begin = begin;
    stat.environment_end = end;
  }
  // Where the kernel shows this of a process that has not ended yet, there is no instant without a sign.
  if (fields.number(exit_code).ok() && exit_code == SIGKILL) stat.doomed = true;
  return stat;
}

bool is_in_exec(std::string_view stat) {
  constexpr std::uint64_t kHasNoMemory = kKernelThread | kExiting;
  const std::size_t close = stat.rfind(')');
  if (close == std::string_view::npos) return false;
  std::uint64_t flags = 0;
  std::uint64_t env_end = 0;
  Fields fields(stat.substr(close + 1));
  fields.skip(6).number(flags);     // state ppid pgrp session tty_nr tpgid
  fields.skip(41).number(env_end);  // minflt to env_start
  return fields.ok() && env_end == 0 && (flags & kHasNoMemory) == 0;
}

bool is_ending(std::string_view stat) {
  const std::size_t close = stat.rfind(')');
  if (close == std::string_view::npos) return false;
  std::uint64_t flags = 0;
  int threads = 0;
  Fields fields(stat.substr(close + 1));
  fields.skip(6).number(flags);     // state ppid pgrp session tty_nr tpgid
  fields.skip(10).number(threads);  // minflt to nice
  return fields.ok() && (flags & kExiting) != 0 && threads <= 1;
}

std::optional<SignalMasks> parse_signal_masks(std::string_view status) {
  const auto blocked = mask_after(status, "\nSigBlk:\t");
  const auto ignored = mask_after(status, "\nSigIgn:\t");
  const auto caught = mask_after(status, "\nSigCgt:\t");
  if (!blocked || !ignored || !caught) return std::nullopt;
  return SignalMasks{.blocked = *blocked, .ignored = *ignored, .caught = *caught};
}

std::optional<StatusFacts> parse_status(std::string_view status) {
  const std::string_view uids = behind(status, "\nUid:\t");  // real, effective, saved, file system
  const std::size_t tab = uids.find('\t');
  if (tab == std::string_view::npos) return std::nullopt;
  StatusFacts facts;
  const auto [end, error] = std::from_chars(uids.data() + tab + 1, uids.data() + uids.size(), facts.effective_uid);
  if (error != std::errc{}) return std::nullopt;
  const std::string_view pids = behind(status, "\nNSpid:\t");
  facts.pid_namespaces += static_cast<int>(std::count(pids.begin(), pids.end(), '\t'));
  return facts;
}

std::vector<pid_t> parse_pids(std::string_view text) {
  std::vector<pid_t> pids;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    if (*at == ' ') {
      ++at;
      continue;
    }
    pid_t pid = 0;
    const auto [stop, error] = std::from_chars(at, end, pid);
    if (error != std::errc{} || pid <= 0) break;
    pids.push_back(pid);
    at = stop;
  }
  return pids;
}

std::vector<std::string> split_at_nul(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::size_t end = text.find('\0');
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return parts;
}

}  // namespace reapctl::proc
