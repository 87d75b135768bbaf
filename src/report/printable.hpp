#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace reapctl::report {

/// The text as a terminal can show it without being attacked: control characters (C0, DEL, C1), bytes that are not
/// UTF-8 and backslashes come out as "\x1b", "\n", "\\"; characters that are invisible or turn the writing direction
/// as "\u202e". The result is valid UTF-8. Source: Unicode 15, general categories Cc, Cf, Zl and Zp.
[[nodiscard]] std::string printable(std::string_view text);

/// How many columns a text from printable() takes, counting one for each character.
[[nodiscard]] std::size_t width(std::string_view text);

/// At most `columns` wide; what is cut off leaves a "…". `text` comes from printable().
[[nodiscard]] std::string shortened(std::string_view text, std::size_t columns);

}  // namespace reapctl::report
