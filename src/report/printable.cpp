#include "report/printable.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

namespace reapctl::report {
namespace {

struct Character {
  char32_t code = 0;
  std::size_t length = 0;  ///< in bytes; 0 when the text does not begin with valid UTF-8
};

bool is_continuation(char c) {
  return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U;
}

/// RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
Character first_character(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text.front());
  if (lead < 0x80) return {.code = lead, .length = 1};
  std::size_t length = 0;
  char32_t code = 0;
  char32_t least = 0;
  if ((lead & 0xE0U) == 0xC0U) {
    length = 2, code = lead & 0x1FU, least = 0x80;
  } else if ((lead & 0xF0U) == 0xE0U) {
    length = 3, code = lead & 0x0FU, least = 0x800;
  } else if ((lead & 0xF8U) == 0xF0U) {
    length = 4, code = lead & 0x07U, least = 0x10000;
  } else {
    return {};
  }
  if (text.size() < length) return {};
  for (const char c : text.substr(1, length - 1)) {
    if (!is_continuation(c)) return {};
    code = (code << 6U) | (static_cast<unsigned char>(c) & 0x3FU);
  }
  if (code < least || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return {};
  return {.code = code, .length = length};
}

bool is_control(char32_t code) {
  return code < 0x20 || (code >= 0x7F && code < 0xA0);
}

/// Soft hyphen, zero-width and bidirectional controls, line and paragraph separators, tags: what makes a name look like
/// another one.
bool is_invisible(char32_t code) {
  struct Range {
    char32_t first, last;
  };
  constexpr std::array<Range, 9> kRanges = {{{0xAD, 0xAD},
                                             {0x61C, 0x61C},
                                             {0x180E, 0x180E},
                                             {0x200B, 0x200F},
                                             {0x2028, 0x202E},
                                             {0x2060, 0x206F},
                                             {0xFEFF, 0xFEFF},
                                             {0xFFF9, 0xFFFB},
                                             {0xE0000, 0xE007F}}};
  return std::any_of(kRanges.begin(), kRanges.end(),
                     [code](const Range& range) { return code >= range.first && code <= range.last; });
}

std::string escape(const char* format, unsigned value) {
  std::array<char, 16> buffer{};
  (void)std::snprintf(buffer.data(), buffer.size(), format, value);  // 16 bytes hold "\u" and eight digits
  return buffer.data();
}

}  // namespace

std::string printable(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const Character next = first_character(text);
    const std::size_t length = std::max<std::size_t>(next.length, 1);
    if (next.length == 0) {
      result += escape("\\x%02x", static_cast<unsigned char>(text.front()));
    } else if (next.code == '\n') {
      result += "\\n";
    } else if (next.code == '\t') {
      result += "\\t";
    } else if (next.code == '\\') {
      result += "\\\\";
    } else if (is_control(next.code)) {
      result += escape("\\x%02x", next.code);
    } else if (is_invisible(next.code)) {
      result += escape("\\u%04x", next.code);
    } else {
      result += text.substr(0, length);
    }
    text.remove_prefix(length);
  }
  return result;
}

std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return !is_continuation(c); }));
}

std::string shortened(std::string_view text, std::size_t columns) {
  if (width(text) <= columns) return std::string(text);
  std::size_t end = 0;
  for (std::size_t kept = 0; end < text.size(); ++end) {
    // A character ends where the next one begins; the last column is for the ellipsis.
    if (!is_continuation(text[end]) && ++kept == columns) break;
  }
  return std::string(text.substr(0, end)).append("…");
}

}  // namespace reapctl::report
