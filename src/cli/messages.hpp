#pragma once

#include <string_view>

namespace reapctl::cli {

enum class ColorMode { automatic, always, never };

/// Whether messages on stderr are coloured; NO_COLOR in the environment turns `automatic` off. Call it before the
/// first message.
void set_color(ColorMode mode);

/// One line on stderr: "reapctl: …", with whatever a terminal must not get from a value spelt out, see
/// report::printable. The logger is made with the first message, most runs have none.
void say(std::string_view text);
void say_error(std::string_view text);

/// The same for a text that is safe already and may have several lines: JSON, or one made by report.
void say_as_it_is(std::string_view text);

}  // namespace reapctl::cli
