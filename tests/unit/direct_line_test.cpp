#include "engine/direct_line.hpp"

#include "engine/shared_page.hpp"
#include "support/forked.hpp"
#include "support/pipe.hpp"

#include <csignal>
#include <cstdint>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

#include <gtest/gtest.h>

namespace reapctl::engine {
namespace {

/// A command that dies of what it is sent, and the page on which the supervisor says that it can be reached.
class TheDirectLine : public testing::Test {
 protected:
  TheDirectLine() {
    EXPECT_TRUE(page_);
    command_ = test::must_fork();
    if (command_ == 0) {
      hold_.writer.reset();
      (void)hold_.drain();
      ::_exit(0);
    }
    (*page_)->reachable_main.store(command_);
  }
  ~TheDirectLine() override { (void)goes_on(); }

  bool pass(int signal) {
    signalfd_siginfo info{};
    info.ssi_signo = static_cast<std::uint32_t>(signal);
    return line_.pass(info);
  }

  /// The signal that ended the command; 0 if it went by itself.
  int how_it_ended() {
    if (command_ <= 0) return 0;
    int status = 0;
    EXPECT_GT(::waitpid(std::exchange(command_, -1), &status, 0), 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  }
  int goes_on() {
    hold_.writer.reset();
    return how_it_ended();
  }

  sys::Result<SharedPagePtr> page_ = make_shared_page();
  core::RunPlan plan_;
  core::SignalContext signals_;
  DirectLine line_{**page_, plan_, signals_};
  test::Pipe hold_;
  pid_t command_ = -1;
};

TEST_F(TheDirectLine, TakesWhatIsForwarded) {
  EXPECT_TRUE(pass(SIGUSR1));
  EXPECT_EQ(how_it_ended(), SIGUSR1);
}

TEST_F(TheDirectLine, TakesItAsWhatItIsMappedTo) {
  plan_.signal_map[SIGUSR1] = SIGUSR2;
  EXPECT_TRUE(pass(SIGUSR1));
  EXPECT_EQ(how_it_ended(), SIGUSR2);
}

TEST_F(TheDirectLine, LeavesToTheSupervisorWhatIsDropped) {
  plan_.signal_map[SIGUSR1] = 0;
  EXPECT_FALSE(pass(SIGUSR1));
  EXPECT_EQ(goes_on(), 0);
}

TEST_F(TheDirectLine, LeavesToTheSupervisorWhatStopsTheRun) {
  plan_.stop_on = {SIGTERM};
  EXPECT_FALSE(pass(SIGTERM));
  EXPECT_EQ(goes_on(), 0);
}

TEST_F(TheDirectLine, LeavesToTheSupervisorWhatIsForAWholeGroup) {
  plan_.forward_to = core::ForwardTo::group;
  EXPECT_FALSE(pass(SIGUSR1));
  EXPECT_EQ(goes_on(), 0);
}

TEST_F(TheDirectLine, ReachesNobodyBeforeTheStart) {
  (*page_)->reachable_main.store(0);
  EXPECT_FALSE(pass(SIGUSR1));
  EXPECT_EQ(goes_on(), 0);
}

TEST_F(TheDirectLine, ReachesNobodyOnceTheCommandIsAboutToBeReaped) {
  plan_.signal_map[SIGUSR2] = SIGWINCH;  // which does nothing to it
  EXPECT_TRUE(pass(SIGUSR2));            // and so the descriptor is there
  (*page_)->reachable_main.store(0);
  EXPECT_FALSE(pass(SIGUSR1));
  EXPECT_EQ(goes_on(), 0);
}

}  // namespace
}  // namespace reapctl::engine
