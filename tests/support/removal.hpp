#pragma once

#include "engine/remover.hpp"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

/// What the remover's tests have in common: trees to delete, and deleting them.
namespace reapctl::test {

/// The identity of a directory by its path.
[[nodiscard]] sys::DirectoryIdentity identity_of(const std::string& path);

/// Deletes the directory `path` on the calling thread (and what helpers the remover finds worth it).
[[nodiscard]] engine::RemovalStats remove_tree(const std::string& path);

/// "ERRNO relative/path" for each error, sorted.
[[nodiscard]] std::vector<std::string> errors_of(const engine::RemovalStats& stats);

/// A chain of `levels` directories named "d" inside `path`.
void make_chain(const std::string& path, int levels);

/// `count` files of one byte inside `path`.
void make_files(const std::string& path, int count);

/// Runs `work` on a thread that is not above permissions, as root is (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH).
void without_privileges(const std::function<void()>& work);

/// Runs `work` on a thread that sees mounts of its own, which vanish with it. Returns why that cannot be; else "".
[[nodiscard]] std::string with_own_mounts(const std::function<void()>& work);

}  // namespace reapctl::test
