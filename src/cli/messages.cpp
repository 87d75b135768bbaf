#include "cli/messages.hpp"

#include "report/printable.hpp"

#include <cstdlib>
#include <memory>

#include <spdlog/sinks/ansicolor_sink.h>
#include <spdlog/spdlog.h>

namespace reapctl::cli {
namespace {

ColorMode g_color = ColorMode::automatic;

spdlog::color_mode spdlog_mode() {
  switch (g_color) {
    case ColorMode::always: return spdlog::color_mode::always;
    case ColorMode::never: return spdlog::color_mode::never;
    case ColorMode::automatic: break;
  }
  const char* no_color = std::getenv("NO_COLOR");
  return no_color != nullptr && *no_color != '\0' ? spdlog::color_mode::never : spdlog::color_mode::automatic;
}

spdlog::logger& logger() {
  static spdlog::logger instance = [] {
    spdlog::logger made("reapctl", std::make_shared<spdlog::sinks::ansicolor_stderr_sink_st>(spdlog_mode()));
    made.set_pattern("%^reapctl:%$ %v");
    return made;
  }();
  return instance;
}

}  // namespace

void set_color(ColorMode mode) {
  g_color = mode;
}

void say(std::string_view text) {
  logger().info(report::printable(text));
}
void say_error(std::string_view text) {
  logger().error(report::printable(text));
}
void say_as_it_is(std::string_view text) {
  logger().info(text);
}

}  // namespace reapctl::cli
