#include "core/environment.hpp"

#include <algorithm>

namespace reapctl::core {
namespace {

bool has_name(std::string_view entry, std::string_view name) {
  return entry.size() > name.size() && entry.starts_with(name) && entry[name.size()] == '=';
}

}  // namespace

Environment::Environment(const char* const* caller, std::string_view dropped_prefix) {
  for (; *caller != nullptr; ++caller) {
    if (!std::string_view(*caller).starts_with(dropped_prefix)) inherited_.push_back(*caller);
  }
}

void Environment::unset(std::string_view name) {
  std::erase_if(inherited_, [&](const char* entry) { return has_name(entry, name); });
  std::erase_if(own_, [&](const auto& entry) { return entry.first == name; });
}

void Environment::set(std::string_view name, std::string_view value) {
  unset(name);
  own_.emplace_back(name, std::string(name).append("=").append(value));
}

std::vector<const char*> Environment::entries() const {
  std::vector<const char*> all = inherited_;
  for (const auto& [name, entry] : own_) all.push_back(entry.c_str());
  return all;
}

}  // namespace reapctl::core
