#pragma once

#include "sys/result.hpp"
#include "sys/unique_fd.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <sys/types.h>

/// Small files in a directory that we have open, where whoever owns the file may mean harm.
namespace reapctl::sys {

/// Reads the file `name` in `directory_fd`. Follows no link, waits for no writer of a FIFO. Errors: those of open_file
/// and read(2); EINVAL: it is no regular file; EPERM: `owner` does not own it; EFBIG: it is longer than `limit`, of
/// which nothing is read; EAGAIN: it grew meanwhile.
[[nodiscard]] Result<std::string> read_small_file(int directory_fd, const char* name, uid_t owner, std::size_t limit);

/// Puts `text` in the place of the file `name`, mode 0600, in one step: a reader sees the old file or the whole new
/// one. `fresh` is the name that the new one has until then; what a dead writer left there is replaced. Not synced to
/// the disk. Returns the new file, open for writing. Errors: ENOSPC, EROFS, EDQUOT, …; then nothing has changed.
[[nodiscard]] Result<UniqueFd> replace_small_file(int directory_fd, const char* name, const char* fresh,
                                                  std::string_view text);

}  // namespace reapctl::sys
