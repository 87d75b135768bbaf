#include "engine/wait_gauge.hpp"

#include <ctime>
#include <sys/resource.h>

namespace reapctl::engine {
namespace {

constexpr std::chrono::milliseconds kWindow(5);
/// Fewer times off the processor than this in one window are chance: a page fault, a lock.
constexpr std::int64_t kFewWaits = 10;

}  // namespace

WaitGauge::Finding WaitGauge::sample() {
  if (core::Clock::now() - since_.at < kWindow) return Finding::none;
  const Reading before = since_;
  restart();
  const auto used = since_.processor - before.processor;
  computed_ += used;
  if (used * 2 < since_.at - before.at && since_.waits - before.waits > kFewWaits) return Finding::waiting;
  return computed_ < kWindow ? Finding::none : Finding::computing;
}

void WaitGauge::restart() {
  since_ = read();
}

WaitGauge::Reading WaitGauge::read() {
  // Neither fails with these arguments: getrusage(2), clock_gettime(2).
  rusage usage{};
  (void)::getrusage(RUSAGE_THREAD, &usage);
  timespec processor{};
  (void)::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &processor);
  return {.at = core::Clock::now(),
          .processor = std::chrono::seconds(processor.tv_sec) + std::chrono::nanoseconds(processor.tv_nsec),
          .waits = usage.ru_nvcsw};
}

}  // namespace reapctl::engine
