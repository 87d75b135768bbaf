#pragma once

#include "core/report.hpp"
#include "core/signal_name.hpp"

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

/// What the JSON writers share. Private to src/report.
namespace reapctl::report {

using Json = nlohmann::ordered_json;  // keeps keys in the order in which they are written

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
