/// A clock for cron(8), loaded into it with LD_PRELOAD: a minute of its time lasts REAPCTL_TEST_MINUTE_MS. It asks for
/// the time with time(2) and waits with sleep(3), and starts jobs in an environment of its own, so that nobody else
/// lives by this clock.
#include <cstdlib>
#include <ctime>
#include <unistd.h>

namespace {

constexpr long kNanosPerSecond = 1'000'000'000;

long now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * kNanosPerSecond + now.tv_nsec;
}

/// Real nanoseconds in a second of cron's.
long second_ns() {
  const char* text = std::getenv("REAPCTL_TEST_MINUTE_MS");
  const long minute_ms = text != nullptr ? std::atol(text) : 60'000;
  return minute_ms * 1'000'000 / 60;
}

const long kBegan = now_ns();
const long kSecond = second_ns();
constexpr time_t kEpoch = 1'800'000'000;  // a whole minute, in no night of a change of clocks

}  // namespace

extern "C" time_t time(time_t* result) noexcept {
  const time_t now = kEpoch + (now_ns() - kBegan) / kSecond;
  if (result != nullptr) *result = now;
  return now;
}

extern "C" unsigned sleep(unsigned seconds) {
  const long ns = static_cast<long>(seconds) * kSecond;
  const timespec wait{.tv_sec = ns / kNanosPerSecond, .tv_nsec = ns % kNanosPerSecond};
  timespec left{};
  if (nanosleep(&wait, &left) == 0) return 0;
  return static_cast<unsigned>((left.tv_sec * kNanosPerSecond + left.tv_nsec) / kSecond);
}
