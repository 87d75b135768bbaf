#include "core/signal_name.hpp"

#include <charconv>
#include <csignal>
#include <cstring>

namespace reapctl::core {
namespace {

constexpr int kLastStandardSignal = 31;  // signal(7): the standard signals are 1 to 31

/// Digits only, the whole text: neither sign nor blank.
std::optional<int> parse_number(std::string_view text) {
  if (text.empty() || text.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  return number;
}

std::string to_upper(std::string_view text) {
  std::string upper(text);
  for (char& c : upper) {
    // Not toupper(3): a Turkish locale must not decide what "int" means.
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return upper;
}

bool is_signal(int number) {
  return (number >= 1 && number <= kLastStandardSignal) || (number >= SIGRTMIN && number <= SIGRTMAX);
}

/// "RTMIN", "RTMIN+3", "RTMAX-1"; the caller checks that the number is in range.
std::optional<int> parse_real_time(std::string_view name) {
  const bool from_min = name.starts_with("RTMIN");
  if (!from_min && !name.starts_with("RTMAX")) return std::nullopt;
  const int base = from_min ? SIGRTMIN : SIGRTMAX;
  name.remove_prefix(5);
  if (name.empty()) return base;
  if (name.front() != (from_min ? '+' : '-')) return std::nullopt;
  const std::optional<int> offset = parse_number(name.substr(1));
  if (!offset || *offset > SIGRTMAX - SIGRTMIN) return std::nullopt;
  return from_min ? base + *offset : base - *offset;
}

std::optional<int> parse_standard(std::string_view name) {
  if (name == "IOT") return SIGABRT;
  if (name == "CLD") return SIGCHLD;
  if (name == "IO") return SIGIO;
  for (int signal = 1; signal <= kLastStandardSignal; ++signal) {
    const char* known = sigabbrev_np(signal);
    if (known != nullptr && name == known) return signal;
  }
  return std::nullopt;
}

}  // namespace

std::string signal_name(int signal) {
  if (signal >= SIGRTMIN && signal <= SIGRTMAX) {
    return signal == SIGRTMIN ? "RTMIN" : "RTMIN+" + std::to_string(signal - SIGRTMIN);
  }
  const char* name = sigabbrev_np(signal);
  return name != nullptr ? std::string(name) : std::to_string(signal);
}

std::optional<int> parse_signal(std::string_view text) {
  if (const std::optional<int> number = parse_number(text)) {
    return is_signal(*number) ? number : std::nullopt;
  }
  const std::string upper = to_upper(text);
  std::string_view name = upper;
  if (name.starts_with("SIG")) name.remove_prefix(3);
  if (const std::optional<int> signal = parse_real_time(name)) return signal;
  return parse_standard(name);
}

}  // namespace reapctl::core
