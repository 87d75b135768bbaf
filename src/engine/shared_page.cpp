#include "engine/shared_page.hpp"

#include <cstring>
#include <sys/mman.h>

namespace reapctl::engine {

static_assert(std::atomic<std::int64_t>::is_always_lock_free, "a lock in shared memory would outlive its holder");

bool SharedReport::set(std::string_view text) {
  if (text.size() > sizeof text_) return false;
  std::memcpy(text_, text.data(), text.size());
  size_.store(text.size());
  return true;
}

std::optional<core::TimePoint> SharedPage::stop_deadline() const {
  const std::int64_t deadline_ns = stop_deadline_ns.load();
  return deadline_ns == 0 ? std::nullopt : std::optional(core::TimePoint(std::chrono::nanoseconds(deadline_ns)));
}

void Unmap::operator()(SharedPage* page) const {
  (void)::munmap(page, sizeof *page);
}

sys::Result<SharedPagePtr> make_shared_page() {
  void* memory =
      ::mmap(nullptr, sizeof(SharedPage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return sys::last_error("mmap");
  // Zero is a valid value of every member, and the kernel hands out zeroes; writing them would cost the pages.
  return SharedPagePtr(static_cast<SharedPage*>(memory));
}

}  // namespace reapctl::engine
