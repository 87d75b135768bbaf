#include "core/splay.hpp"

#include <cstdint>

namespace reapctl::core {
namespace {

/// FNV-1a, 64 bits.
std::uint64_t mix_in(std::uint64_t hash, std::string_view text) {
  for (const char byte : text) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3U;
  return hash;
}

/// The finalizer of SplitMix64: similar names must not come close together, and the remainder uses the low bits.
std::uint64_t scatter(std::uint64_t hash) {
  hash = (hash ^ (hash >> 30U)) * 0xbf58476d1ce4e5b9U;
  hash = (hash ^ (hash >> 27U)) * 0x94d049bb133111ebU;
  return hash ^ (hash >> 31U);
}

}  // namespace

Millis splay_offset(std::string_view machine_id, std::string_view name, Millis range) {
  if (range <= Millis::zero()) return Millis::zero();
  std::uint64_t hash = mix_in(0xcbf29ce484222325U, machine_id);
  hash = mix_in(mix_in(hash, {"\0", 1}), name);  // the end of the one is not the beginning of the other
  return Millis(static_cast<Millis::rep>(scatter(hash) % static_cast<std::uint64_t>(range.count())));
}

}  // namespace reapctl::core
