#pragma once

#include "core/report.hpp"
#include "core/signal_name.hpp"

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

/// What the JSON writers share. Private to src/report.
namespace reapctl::report {

using Json = nlohmann::ordered_json;  // keeps keys in the order in which they are written

/// One key of an object and its value.
struct Member {
  const char* key;
  mutable Json value;  ///< moved from: an initializer_list has only const elements
};

/// An object of just these members, in this order. A braced list given to Json itself makes an array of each pair, and
/// an object of those arrays: that takes three times as long, and every run writes a record before it starts.
inline Json object(std::initializer_list<Member> members) {
  Json::object_t entries;
  entries.reserve(members.size());
  for (const Member& member : members) {
    entries.emplace_back(member.key, std::move(member.value));
  }
  return Json(std::move(entries));
}

/// An absent number is null.
template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

inline Json or_null(const std::optional<core::Millis>& value) {
  return value ? Json(value->count()) : Json(nullptr);
}

/// An unknown text is empty in core, null in JSON.
inline Json or_null(std::string_view text) {
  return text.empty() ? Json(nullptr) : Json(text);
}

inline Json signal_name_or_null(const std::optional<int>& signal) {
  return signal ? Json(core::signal_name(*signal)) : Json(nullptr);
}

/// Who started a run. `cmdline` is what may be shown of origin.argv.
inline Json origin_value(const core::Origin& origin, std::vector<std::string> cmdline) {
  return object({
      {"ppid", origin.ppid},
      {"comm", or_null(origin.comm)},
      {"cmdline", std::move(cmdline)},
      {"user", or_null(origin.user)},
      {"tty", or_null(origin.tty)},
      {"unit", or_null(origin.unit)},
      {"ci", or_null(origin.ci)},
  });
}

/// The part of a list that reports show.
template <class T>
std::span<const T> capped(const std::vector<T>& list) {
  return {list.data(), std::min(list.size(), core::kListLimit)};
}

/// One line. dump() would throw on bytes that are not UTF-8 if not told to replace them.
inline std::string one_line(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace reapctl::report
