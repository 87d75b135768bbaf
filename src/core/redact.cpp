#include "core/redact.hpp"

#include <algorithm>
#include <array>
#include <string_view>

namespace reapctl::core {
namespace {

constexpr std::string_view kMask = "***";
constexpr std::string_view kBlanks = " \t\n\r\v\f";

char to_lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool names_a_secret(std::string_view name) {
  constexpr std::array<std::string_view, 4> kWords = {"pass", "token", "secret", "key"};
  return std::any_of(kWords.begin(), kWords.end(), [name](std::string_view word) {
    const auto same = [](char a, char b) { return to_lower(a) == b; };
    return std::search(name.begin(), name.end(), word.begin(), word.end(), same) != name.end();
  });
}

/// The index of the first '=' whose name is one of a secret; npos when there is none.
std::size_t find_secret_assignment(std::string_view text) {
  for (std::size_t equals = text.find('='); equals != std::string_view::npos; equals = text.find('=', equals + 1)) {
    const std::string_view before = text.substr(0, equals);
    const std::size_t separator = before.find_last_of(" \t\n\r\v\f=&?;,'\"");
    if (names_a_secret(separator == std::string_view::npos ? before : before.substr(separator + 1))) return equals;
  }
  return std::string_view::npos;
}

/// Masks words that follow an option with the name of a secret. `pending` says that the last word seen was such an
/// option, and carries that from one argument to the next.
std::string redact_option_values(std::string_view text, bool& pending) {
  // A single argument is the value of the option before it with all its blanks, unless it is an option itself.
  if (pending && !text.starts_with('-')) {
    pending = false;
    return std::string(kMask);
  }
  std::string result;
  pending = false;
  while (!text.empty()) {
    const std::size_t start = std::min(text.find_first_not_of(kBlanks), text.size());
    result.append(text.substr(0, start));
    text.remove_prefix(start);
    const std::string_view word = text.substr(0, text.find_first_of(kBlanks));
    text.remove_prefix(word.size());
    if (word.empty()) break;
    const bool is_option = word.front() == '-';
    result.append(pending && !is_option ? kMask : word);
    pending = is_option && names_a_secret(word);
  }
  return result;
}

bool is_scheme_char(char c) {
  return (to_lower(c) >= 'a' && to_lower(c) <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
}

/// Masks the password of every URL. The authority ends where RFC 3986 says, or at a blank or a quote; the user
/// information ends at its last '@', so that a password with a bare '@' is hidden whole.
std::string redact_urls(std::string_view text) {
  constexpr std::string_view kMark = "://";
  std::string result;
  for (std::size_t mark = text.find(kMark); mark != std::string_view::npos; mark = text.find(kMark)) {
    const std::size_t begin = mark + kMark.size();
    result.append(text.substr(0, begin));
    const bool has_scheme = mark > 0 && is_scheme_char(text[mark - 1]);
    text.remove_prefix(begin);
    if (!has_scheme) continue;
    const std::string_view authority = text.substr(0, text.find_first_of("/?#'\" \t\n\r\v\f"));
    const std::size_t at = authority.rfind('@');
    if (at == std::string_view::npos) continue;
    const std::size_t colon = authority.substr(0, at).find(':');
    if (colon == std::string_view::npos || colon + 1 == at) continue;
    result.append(text.substr(0, colon + 1)).append(kMask);
    text.remove_prefix(at);
  }
  return result.append(text);
}

std::string redact_arg(std::string_view arg, bool& pending) {
  // URLs first: a password with a '=' in it must not be cut in two by the search for assignments.
  const std::string text = redact_urls(arg);
  const std::size_t equals = find_secret_assignment(text);
  if (equals == std::string::npos) return redact_option_values(text, pending);
  const bool is_value = pending && !text.starts_with('-');
  std::string result = redact_option_values(std::string_view(text).substr(0, equals), pending);
  pending = false;  // the assignment brings its own value
  return is_value ? result : result.append("=").append(kMask);
}

}  // namespace

std::vector<std::string> redact_args(const std::vector<std::string>& args, ArgsShown shown) {
  if (shown == ArgsShown::none) return {};
  if (shown == ArgsShown::full) return args;
  std::vector<std::string> result;
  result.reserve(args.size());
  bool pending = false;
  for (const std::string& arg : args) result.push_back(redact_arg(arg, pending));
  return result;
}

}  // namespace reapctl::core
