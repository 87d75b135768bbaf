#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>

/// Users, by a file of the form of passwd(5). No other directory is asked (LDAP, systemd-homed): NSS loads shared
/// objects, which a static binary cannot.
namespace reapctl::sys {

inline constexpr char kPasswdPath[] = "/etc/passwd";

struct User {
  std::string name;
  uid_t uid = 0;
  gid_t gid = 0;
  std::string home;
};

/// The first entry of that number, or that name; nullopt if there is none, or no such file. Source: fgetpwent(3).
[[nodiscard]] std::optional<User> find_user(uid_t uid, const std::string& passwd_path = kPasswdPath);
[[nodiscard]] std::optional<User> find_user(std::string_view name, const std::string& passwd_path = kPasswdPath);

/// The name of a user; the number as text if there is no entry.
[[nodiscard]] std::string user_name(uid_t uid, const std::string& passwd_path = kPasswdPath);

}  // namespace reapctl::sys
