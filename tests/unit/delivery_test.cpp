#include "engine/delivery.hpp"

#include "support/environment.hpp"
#include "support/forked.hpp"
#include "support/pipe.hpp"
#include "sys/descriptors.hpp"

#include <climits>
#include <csignal>
#include <filesystem>
#include <functional>
#include <sys/resource.h>
#include <thread>
#include <unistd.h>

#include <gmock/gmock.h>

namespace reapctl::engine {
namespace {

namespace fs = std::filesystem;
using test::Pipe;
using test::TempDir;

/// As in reapctl, which blocks every signal: a pipe without a reader is an error and not a death.
class DeliveryTest : public testing::Test {
 protected:
  DeliveryTest() { before_ = ::signal(SIGPIPE, SIG_IGN); }
  ~DeliveryTest() override { (void)::signal(SIGPIPE, before_); }

  static ReportOutput open_descriptor(int fd) {
    return ReportOutput::open({.kind = core::OutputTarget::Kind::descriptor, .descriptor = fd, .path = {}}).take();
  }

  /// What comes to stderr meanwhile.
  static std::string stderr_of(const std::function<void()>& work) {
    Pipe pipe;
    const auto own = sys::duplicate(STDERR_FILENO);
    EXPECT_TRUE(own);
    (void)::dup2(pipe.writer.get(), STDERR_FILENO);
    work();
    (void)::dup2(own->get(), STDERR_FILENO);
    pipe.writer.reset();
    return pipe.drain();
  }

  void (*before_)(int) = SIG_DFL;
};

/// The reader has room for the first block only, and comes back for the second process.
bool is_finished_by_another_process(SharedReport& shared) {
  Pipe pipe;
  const std::size_t before = pipe.fill();
  std::string room(PIPE_BUF, ' ');
  bool right = ::read(pipe.reader.get(), room.data(), room.size()) == PIPE_BUF;
  const std::string text(PIPE_BUF + 100, 'r');
  ReportOutput output =
      ReportOutput::open({.kind = core::OutputTarget::Kind::descriptor, .descriptor = pipe.writer.get(), .path = {}})
          .take();
  pipe.writer.reset();
  right = right && !shared.is_set();
  {
    Delivery first(output, nullptr, &shared);
    first.set(text, "");
    right = right && has_given_up(first.send_report({.fd = -1, .asked = {}, .until = core::Clock::now()}));
  }
  right = right && shared.is_set();
  std::string received;
  std::thread reader([&] { received = pipe.drain(); });
  Delivery second(output, nullptr, &shared);
  right = right && second.send_report({}).ok();
  right = right && second.send_report({}).ok();  // nothing is left, nothing is written twice
  output = ReportOutput();
  reader.join();
  return right && received.substr(before - PIPE_BUF) == text + "\n";
}

TEST_F(DeliveryTest, AnotherProcessFinishesWhatWasBegun) {
  const auto page = make_shared_page();
  ASSERT_TRUE(page);
  EXPECT_GE((*page)->report.file, 0);
  EXPECT_EQ(::fcntl((*page)->report.file, F_GETFD), FD_CLOEXEC);
  EXPECT_TRUE(is_finished_by_another_process((*page)->report));
}

TEST_F(DeliveryTest, AlsoWhereNoFileMayBeMade) {
  EXPECT_TRUE(test::holds_when_forked([] {
    const rlimit none{.rlim_cur = 0, .rlim_max = 0};
    (void)::signal(SIGXFSZ, SIG_IGN);
    if (::setrlimit(RLIMIT_FSIZE, &none) != 0) return false;
    const auto page = make_shared_page();
    return page && (*page)->report.file == -1 && is_finished_by_another_process((*page)->report);
  }));
}

TEST_F(DeliveryTest, AReportTooLongToBeSharedIsWrittenAllTheSame) {
  const TempDir directory;
  const auto page = make_shared_page();
  ASSERT_TRUE(page);
  const auto output =
      ReportOutput::open({.kind = core::OutputTarget::Kind::file, .descriptor = -1, .path = directory / "report"});
  ASSERT_TRUE(output);
  const std::string text(std::size_t{5} << 20U, 'r');
  Delivery delivery(*output, nullptr, &(*page)->report);
  delivery.set(text, "");
  EXPECT_TRUE(delivery.send_report({}));
  EXPECT_FALSE((*page)->report.is_set());
  EXPECT_EQ(fs::file_size(directory / "report"), text.size() + 1);
}

TEST_F(DeliveryTest, WhatIsDivertedComesOnceWhoeverSendsIt) {
  for (const bool by_another : {false, true}) {
    SCOPED_TRACE(by_another);
    const auto page = make_shared_page();
    ASSERT_TRUE(page);
    Pipe nobody_reads;
    const ReportOutput output = open_descriptor(nobody_reads.writer.get());
    nobody_reads.reader.reset();
    Delivery first(output, nullptr, &(*page)->report);
    first.set("report", "");
    EXPECT_FALSE(first.send_report({}));
    EXPECT_FALSE(first.is_diverted());
    first.divert("report, diverted");
    Delivery second(output, nullptr, &(*page)->report);
    EXPECT_TRUE(second.is_diverted());
    EXPECT_EQ(second.report(), "report, diverted");
    EXPECT_EQ(stderr_of([&] {
                if (!by_another) {
                  EXPECT_TRUE(first.send_report({}));
                }
                EXPECT_TRUE(second.send_report({}));
                second.send_rest({});
              }),
              "report, diverted\n");
  }
}

TEST_F(DeliveryTest, WithoutASummaryNothingOfWhatIsHeldIsShown) {
  const auto held = HeldOutput::open();
  ASSERT_TRUE(held);
  ASSERT_EQ(::write(held->command_stderr(), "held", 4), 4);
  const ReportOutput nowhere;
  EXPECT_EQ(stderr_of([&] {
              Delivery delivery(nowhere, &*held, nullptr);
              delivery.set("", "");
              EXPECT_TRUE(delivery.send_report({}));
              delivery.send_rest({});
            }),
            "");
}

TEST_F(DeliveryTest, WhatIsHeldComesBehindADivertedReport) {
  const auto page = make_shared_page();
  ASSERT_TRUE(page);
  const auto held = HeldOutput::open();
  ASSERT_TRUE(held);
  ASSERT_EQ(::write(held->command_stderr(), "held", 4), 4);
  ASSERT_EQ(::lseek(held->command_stderr(), 0, SEEK_SET), 0) << "as a command may that goes on";
  const ReportOutput nowhere;
  EXPECT_EQ(stderr_of([&] {
              Delivery delivery(nowhere, &*held, &(*page)->report);
              delivery.set("report", "summary");
              delivery.divert("diverted");
              EXPECT_TRUE(delivery.send_report({}));
              delivery.send_rest({});
              Delivery(nowhere, &*held, &(*page)->report).send_rest({});
            }),
            "diverted\nsummary\n--- stderr, 4 bytes ---\nheld\n");
}

}  // namespace
}  // namespace reapctl::engine
