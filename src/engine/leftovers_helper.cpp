#include "engine/leftovers_helper.hpp"

#include "engine/helper_task.hpp"
#include "sys/descriptors.hpp"

#include <charconv>
#include <cstdint>
#include <poll.h>
#include <utility>

namespace reapctl::engine {
namespace {

/// What the child may need beyond the deadline to say how far it has come.
constexpr core::Millis kMargin{500};

/// A list of strings, each with a zero behind it: no path has one.
class Words {
 public:
  explicit Words(std::string_view text) : rest_(text) {}

  [[nodiscard]] bool more() const { return !rest_.empty(); }

  std::string next() {
    const std::size_t end = rest_.find('\0');
    if (end == std::string_view::npos) {
      torn_ = true;
      rest_ = {};
      return {};
    }
    std::string word(rest_.substr(0, end));
    rest_.remove_prefix(end + 1);
    return word;
  }

  std::int64_t next_number() {
    const std::string word = next();
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
    if (error != std::errc{} || end != word.data() + word.size()) torn_ = true;
    return number;
  }

  [[nodiscard]] bool torn() const { return torn_; }

 private:
  std::string_view rest_;
  bool torn_ = false;
};

bool ended_by(const HelperTask& task, core::TimePoint deadline) {
  pollfd done{.fd = task.completion_fd(), .events = POLLIN, .revents = 0};
  for (;;) {
    const int timeout_ms = sys::poll_timeout_ms(deadline);
    if (::poll(&done, 1, timeout_ms) > 0) return true;
    if (timeout_ms == 0) return false;
  }
}

LeftoversRemoved nothing_but(std::string problem) {
  LeftoversRemoved removed;
  removed.problem = std::move(problem);
  return removed;
}

}  // namespace

std::string encode(const LeftoversRemoved& removed) {
  std::string text;
  const auto add = [&text](std::string_view word) { text.append(word).append(1, '\0'); };
  add(removed.problem);
  add(std::to_string(removed.remarks.size()));
  for (const std::string& remark : removed.remarks) add(remark);
  for (const core::RemovedItem& item : removed.items) {
    for (const std::string& word : {item.kind, item.path, item.run_id}) add(word);
    for (const std::int64_t number : {item.files, item.bytes}) add(std::to_string(number));
  }
  return text;
}

std::optional<LeftoversRemoved> decode_leftovers(std::string_view text) {
  Words words(text);
  LeftoversRemoved removed;
  removed.problem = words.next();
  for (std::int64_t left = words.next_number(); left > 0 && !words.torn(); --left) {
    removed.remarks.push_back(words.next());
  }
  while (words.more()) {
    core::RemovedItem& item = removed.items.emplace_back();
    item.kind = words.next();
    item.path = words.next();
    item.run_id = words.next();
    item.files = words.next_number();
    item.bytes = words.next_number();
  }
  if (words.torn()) return std::nullopt;
  return removed;
}

LeftoversRemoved remove_leftovers_in_child(const core::RunRecord& record, const LeftoverScope& scope,
                                           core::TimePoint deadline,
                                           const std::function<void(std::string_view line)>& progress) {
  if (!record.workdir && record.remove.empty()) return remove_leftovers(record, scope, deadline, progress);
  auto task = HelperTask::start([&] { return encode(remove_leftovers(record, scope, deadline, progress)); });
  if (!task) return remove_leftovers(record, scope, deadline, progress);
  if (!ended_by(*task, deadline + kMargin)) {
    return nothing_but("the file system of what it has left behind does not answer");
  }
  const auto answer = task->take_result();
  auto removed = answer ? decode_leftovers(*answer) : std::nullopt;
  if (!removed) return nothing_but("the process that was to delete what it has left behind has died");
  return *std::move(removed);
}

}  // namespace reapctl::engine
