#include "engine/adoption_watch.hpp"

#include "report/record_json.hpp"
#include "support/environment.hpp"
#include "support/process.hpp"

#include <csignal>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace reapctl::engine {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kId[] = "00112233445566AA";

class Adoptions : public ::testing::Test {
 protected:
  Adoptions() {
    registration_.open(kId);
    core::RunRecord record;
    record.run_id = kId;
    record.supervisor = {.pid = ::getpid(), .start_ticks = 1};
    registration_.begin(std::move(record));
    EXPECT_THAT(warnings_, IsEmpty());
  }
  ~Adoptions() override {
    while (!children_.empty()) end_one();
    registration_.remove();
  }

  pid_t start_one() {
    const pid_t pid = ::fork();
    if (pid == 0) {
      for (;;) ::pause();
    }
    children_.push_back(pid);
    return pid;
  }
  void end_one() {
    test::send_signal(children_.back(), SIGKILL);
    ::waitpid(children_.back(), nullptr, 0);
    children_.pop_back();
  }

  std::vector<pid_t> on_record() {
    std::vector<std::string> unused;
    const auto registry = Registry::open_for_writing({.chosen = registry_}, unused);
    const auto entry = read_entry(*registry, kId, report::record_codec());
    std::vector<pid_t> pids;
    for (const core::ProcessId& id : entry->record->leftovers) pids.push_back(id.pid);
    return pids;
  }

  test::TempDir directory_;
  std::string registry_ = directory_ / "registry";
  std::vector<std::string> warnings_;
  proc::ProcFs proc_;
  Tree tree_{proc_, "REAPCTL_COOKIE_00112233445566AA=1"};
  Registration registration_{{.chosen = registry_}, report::record_codec(), warnings_};
  AdoptionWatch watch_{tree_, registration_};
  std::vector<pid_t> children_;
  core::TimePoint now_ = core::Clock::now();
};

TEST_F(Adoptions, WhoHasBecomeOurChildIsOnRecordFromTheNextLookOn) {
  tree_.own(start_one());
  const pid_t adopted = start_one();
  watch_.begin(now_);
  watch_.look(now_);
  EXPECT_THAT(on_record(), IsEmpty()) << "the start is not held up";
  ASSERT_TRUE(watch_.next());
  watch_.look(*watch_.next());
  EXPECT_THAT(on_record(), ElementsAre(adopted));
  end_one();
  const pid_t next = start_one();
  watch_.look(*watch_.next());
  EXPECT_THAT(on_record(), ElementsAre(next));
}

TEST_F(Adoptions, LooksAreFewHoweverLongTheRun) {
  watch_.begin(now_);
  int looks = 0;
  for (; *watch_.next() < now_ + hours(1); ++looks) watch_.look(*watch_.next());
  EXPECT_LT(looks, 370);
  EXPECT_GT(looks, 350);
}

TEST_F(Adoptions, OnlySomeOfManyAreWritten) {
  tree_.own(start_one());
  for (int i = 0; i < 50; ++i) start_one();
  watch_.begin(now_);
  watch_.look(*watch_.next());
  EXPECT_THAT(on_record(), SizeIs(32));
}

TEST_F(Adoptions, WithoutARecordThereIsNothingToLookFor) {
  registration_.remove();
  watch_.begin(now_);
  EXPECT_FALSE(watch_.next());
}

}  // namespace
}  // namespace reapctl::engine
