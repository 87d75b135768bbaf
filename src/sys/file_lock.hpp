#pragma once

#include "sys/result.hpp"

namespace reapctl::sys {

/// Takes the open-file-description lock on the whole file, for writing, without waiting. It belongs to the open file:
/// every copy of the descriptor holds it, over fork too, and it goes with the last of them, whatever ends its holder.
/// `fd` is open for writing. Errors: EAGAIN when somebody else holds it. Source: fcntl(2), F_OFD_SETLK.
[[nodiscard]] Result<void> take_lock(int fd);

/// Lets go of it, for all copies of the descriptor at once.
void release_lock(int fd);

/// Whether somebody else holds that lock. Acquires nothing, so nobody is kept from taking it meanwhile.
/// Source: fcntl(2), F_OFD_GETLK.
[[nodiscard]] Result<bool> is_locked(int fd);

}  // namespace reapctl::sys
