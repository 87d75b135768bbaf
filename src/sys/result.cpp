#include "sys/result.hpp"

#include <cstring>

namespace reapctl::sys {

std::string Error::message() const {
  std::string text = operation;
  if (!subject.empty()) text.append(" ").append(subject);
  if (code != 0) text.append(": ").append(std::strerror(code));
  return text;
}

Error last_error(std::string_view operation, std::string_view subject) {
  const int code = errno;
  return Error{.code = code, .operation = std::string(operation), .subject = std::string(subject)};
}

std::string errno_name(int code) {
  const char* name = strerrorname_np(code);
  return name != nullptr ? std::string(name) : std::to_string(code);
}

}  // namespace reapctl::sys
