#include "engine/delivery.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <unistd.h>

namespace reapctl::engine {
namespace {

constexpr std::array<const char*, 2> kNames = {"stdout", "stderr"};

std::string label(const char* name, std::size_t size) {
  return std::string("--- ") + name + ", " + std::to_string(size) + (size == 1 ? " byte ---\n" : " bytes ---\n");
}

/// Not shown, for its place takes nothing; the other one has a place of its own.
void complain(const char* name, const sys::Error& why, const GiveUp& give_up) {
  if (why.code == EPIPE) return;  // a reader that has gone misses nothing
  const std::string line = std::string("reapctl: ") + name + " is not shown: cannot " + why.message() + "\n";
  Progress progress{};
  (void)Outgoing(line, -1, progress).send(STDERR_FILENO, line.size(), give_up);  // nowhere is left to complain to
}

}  // namespace

Delivery::Delivery(const ReportOutput& output, const HeldOutput* held, SharedReport* shared)
    : output_(output), held_(held), shared_(shared) {}

void Delivery::set(std::string_view report, std::string_view summary) {
  DeliveryParts parts;
  std::string text(report);
  if (!report.empty()) text += '\n';
  parts.report_end = text.size();
  text += summary;
  if (!summary.empty()) text += '\n';
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    const std::size_t size = held_ == nullptr || summary.empty() ? 0 : held_->size(i);
    if (size > 0) text += label(kNames[i], size);
    parts.held_sizes[i] = size;
    parts.around_held[i] = text.size();
    if (size > 0 && !held_->ends_a_line(i, size)) text += '\n';
  }
  parts.around_held.back() = text.size();
  add(text, parts);
}

void Delivery::divert(std::string_view report) {
  const DeliveryParts old = parts();
  DeliveryParts fresh = old;
  fresh.report_end = report.size() + 1;
  for (std::size_t& end : fresh.around_held) end = end - old.report_end + fresh.report_end;
  add(std::string(report).append("\n").append(stretch(old.report_end, old.around_held.back())), fresh);
}

/// Behind what there is: a pipe may still hold pages of it, and the position never goes back.
void Delivery::add(const std::string& text, DeliveryParts parts) {
  const std::size_t versions = state().versions.load();
  std::size_t begin = versions == 0 ? 0 : state().parts[versions - 1].around_held.back();
  if (shared_ != nullptr && begin + text.size() > sizeof shared_->text) {
    shared_ = nullptr;
    begin = 0;
  }
  if (shared_ != nullptr) {
    std::memcpy(shared_->text + begin, text.data(), text.size());
  } else {
    own_text_.resize(begin);
    own_text_ += text;
  }
  parts.begin = begin;
  parts.report_end += begin;
  for (std::size_t& end : parts.around_held) end += begin;
  state().parts[versions] = parts;
  state().versions.store(versions + 1);
}

bool Delivery::is_diverted() const {
  return state().versions.load() > 1;
}

const DeliveryParts& Delivery::parts() const {
  return state().parts[state().versions.load() - 1];
}

std::string_view Delivery::stretch(std::size_t begin, std::size_t end) const {
  return {(shared_ != nullptr ? shared_->text : own_text_.data()) + begin, end - begin};
}

std::string_view Delivery::report() const {
  std::string_view text = stretch(parts().begin, parts().report_end);
  if (!text.empty()) text.remove_suffix(1);
  return text;
}

/// To send it from `from` on, or from where it has come to already.
Outgoing Delivery::text(std::size_t from) {
  Outgoing bytes(stretch(0, parts().around_held.back()), shared_ != nullptr ? shared_->file : -1, state().text);
  if (bytes.position() < from) bytes.skip_to(from);
  return bytes;
}

sys::Result<void> Delivery::send_report(const GiveUp& give_up) {
  Outgoing bytes = text(parts().begin);
  if (bytes.position() >= parts().report_end) return {};
  return is_diverted() ? bytes.send(STDERR_FILENO, parts().report_end, give_up)
                       : output_.send(bytes, parts().report_end, give_up);
}

void Delivery::send_rest(const GiveUp& give_up) {
  if (held_ == nullptr) return;
  bool over = false;                 // nothing is waited for any more
  std::map<int, sys::Error> broken;  // descriptors that take nothing
  const auto send = [&](Outgoing bytes, int to, std::size_t end) {
    if (over || broken.contains(to)) return;
    const auto sent = bytes.send(to, end, give_up);
    over = has_given_up(sent);
    if (!sent && !over) broken.emplace(to, sent.error());
  };
  Outgoing around = text(parts().report_end);
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    send(around, STDERR_FILENO, parts().around_held[i]);
    if (parts().held_sizes[i] == 0) continue;
    const int to = held_->place(i);
    send(held_->bytes(i, state().held[i]), to, parts().held_sizes[i]);
    if (const auto why = broken.find(to); why != broken.end()) complain(kNames[i], why->second, give_up);
  }
  send(around, STDERR_FILENO, parts().around_held.back());
}

}  // namespace reapctl::engine
