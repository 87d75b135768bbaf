#include "engine/shared_page.hpp"

#include "sys/descriptors.hpp"

#include <sys/mman.h>
#include <unistd.h>

namespace reapctl::engine {

static_assert(std::atomic<std::int64_t>::is_always_lock_free, "a lock in shared memory would outlive its holder");
static_assert(offsetof(SharedPage, report) == 0 && offsetof(SharedReport, text) == 0,
              "positions in the text are positions in the file");

std::optional<core::TimePoint> SharedPage::stop_deadline() const {
  const std::int64_t deadline_ns = stop_deadline_ns.load();
  return deadline_ns == 0 ? std::nullopt : std::optional(core::TimePoint(std::chrono::nanoseconds(deadline_ns)));
}

void Unmap::operator()(SharedPage* page) const {
  const sys::UniqueFd file(page->report.file);
  (void)::munmap(page, sizeof *page);
}

sys::Result<SharedPagePtr> make_shared_page() {
  auto file = sys::make_memory_file("reapctl");
  const bool sized = file && ::ftruncate(file->get(), sizeof(SharedPage)) == 0;
  const int flags = MAP_SHARED | MAP_NORESERVE | (sized ? 0 : MAP_ANONYMOUS);
  void* memory = ::mmap(nullptr, sizeof(SharedPage), PROT_READ | PROT_WRITE, flags, sized ? file->get() : -1, 0);
  if (memory == MAP_FAILED) return sys::last_error("mmap");
  // Zero is a valid value of every member, and the kernel hands out zeroes; writing them would cost the pages.
  SharedPagePtr page(static_cast<SharedPage*>(memory));
  page->report.file = sized ? file.take().release() : -1;
  return page;
}

}  // namespace reapctl::engine
