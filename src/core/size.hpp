#pragma once

#include "sys/result.hpp"

#include <cstdint>
#include <string_view>

namespace reapctl::core {

/// Reads "512", "64k", "10M", "1G": bytes, in powers of 1024. Errors: anything else, a sign, more than `limit`; the
/// Error's text says what is allowed.
[[nodiscard]] sys::Result<std::uint64_t> parse_size(std::string_view text, std::uint64_t limit);

}  // namespace reapctl::core
