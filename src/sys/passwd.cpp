#include "sys/passwd.hpp"

#include <cstdio>
#include <memory>
#include <pwd.h>

namespace reapctl::sys {
namespace {

template <class Wanted>
std::optional<User> first_user(const std::string& passwd_path, Wanted wanted) {
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(passwd_path.c_str(), "re"), std::fclose);
  if (file == nullptr) return std::nullopt;
  while (const passwd* entry = ::fgetpwent(file.get())) {
    if (!wanted(*entry)) continue;
    return User{.name = entry->pw_name, .uid = entry->pw_uid, .gid = entry->pw_gid, .home = entry->pw_dir};
  }
  return std::nullopt;
}

}  // namespace

std::optional<User> find_user(uid_t uid, const std::string& passwd_path) {
  return first_user(passwd_path, [uid](const passwd& entry) { return entry.pw_uid == uid; });
}

std::optional<User> find_user(std::string_view name, const std::string& passwd_path) {
  return first_user(passwd_path, [name](const passwd& entry) { return entry.pw_name == name; });
}

std::string user_name(uid_t uid, const std::string& passwd_path) {
  const auto user = find_user(uid, passwd_path);
  return user ? user->name : std::to_string(uid);
}

}  // namespace reapctl::sys
