#include "engine/output.hpp"

#include "support/environment.hpp"
#include "support/pipe.hpp"

#include <cerrno>
#include <climits>
#include <csignal>
#include <filesystem>
#include <sys/stat.h>
#include <thread>

#include <gmock/gmock.h>

namespace reapctl::engine {
namespace {

namespace fs = std::filesystem;
using test::Pipe;
using test::read_file;
using test::TempDir;
using test::write_file;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;

core::OutputTarget to_file(const std::string& path) {
  return {.kind = core::OutputTarget::Kind::file, .descriptor = -1, .path = path};
}
core::OutputTarget to_descriptor(int fd) {
  return {.kind = core::OutputTarget::Kind::descriptor, .descriptor = fd, .path = {}};
}

std::vector<std::string> names_in(const TempDir& directory) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory.path())) names.push_back(entry.path().filename().string());
  return names;
}

/// As in reapctl, which blocks every signal: a pipe without a reader is an error and not a death.
class OutputTest : public ::testing::Test {
 protected:
  OutputTest() { before_ = ::signal(SIGPIPE, SIG_IGN); }
  ~OutputTest() override { (void)::signal(SIGPIPE, before_); }

  [[nodiscard]] std::string path(const char* name) const { return directory_ / name; }
  static ReportOutput open(const core::OutputTarget& target) {
    auto output = ReportOutput::open(target);
    EXPECT_TRUE(output) << (output ? "" : output.error().message());
    return output ? output.take() : ReportOutput{};
  }
  /// The whole of a text, with a line feed.
  static sys::Result<void> send(const ReportOutput& output, const std::string& text, const GiveUp& give_up = {}) {
    Progress progress{};
    const std::string line = text + "\n";
    Outgoing bytes(line, -1, progress);
    return output.send(bytes, line.size(), give_up);
  }
  /// The errno of a report that was refused or failed.
  static int failure(const core::OutputTarget& target) {
    auto output = ReportOutput::open(target);
    if (!output) return output.error().code;
    const auto written = send(*output, "{}");
    return written ? 0 : written.error().code;
  }

  /// A request that has come already.
  static GiveUp asked_on(Pipe& request) {
    request.writer.reset();
    return {.fd = request.reader.get(), .asked = [] { return Asked::yes; }};
  }

  TempDir directory_;
  void (*before_)(int) = SIG_DFL;
};

using ReportOutputTest = OutputTest;
using EventOutputTest = OutputTest;

TEST_F(ReportOutputTest, NoneIsNotWanted) {
  ReportOutput output = open({});
  EXPECT_FALSE(output.wanted());
  EXPECT_EQ(output.descriptor(), -1);
  EXPECT_TRUE(send(output, "{}"));
}

TEST_F(ReportOutputTest, ADescriptorIsDuplicatedAndWrittenTo) {
  Pipe pipe;
  ReportOutput output = open(to_descriptor(pipe.writer.get()));
  EXPECT_TRUE(output.wanted());
  EXPECT_NE(output.descriptor(), pipe.writer.get());
  EXPECT_TRUE(send(output, "{}"));
  output = ReportOutput();
  pipe.writer.reset();
  EXPECT_EQ(pipe.drain(), "{}\n");
}

TEST_F(ReportOutputTest, AnInheritedDescriptorIsKeptFromTheCommand) {
  Pipe pipe;
  const sys::UniqueFd inherited(::fcntl(pipe.writer.get(), F_DUPFD, 3));
  ASSERT_EQ(::fcntl(inherited.get(), F_GETFD), 0);
  const ReportOutput output = open(to_descriptor(inherited.get()));
  EXPECT_EQ(::fcntl(inherited.get(), F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(::fcntl(output.descriptor(), F_GETFD), FD_CLOEXEC);
  const ReportOutput standard = open(to_descriptor(2));
  EXPECT_EQ(::fcntl(2, F_GETFD), 0) << "stderr is the command's too";
}

TEST_F(ReportOutputTest, AClosedDescriptorIsRefused) {
  int closed = -1;
  {
    const Pipe pipe;
    closed = pipe.writer.get();
  }
  EXPECT_EQ(failure(to_descriptor(closed)), EBADF);
}

TEST_F(ReportOutputTest, AFileIsMadeOnlyAtTheEnd) {
  ReportOutput output = open(to_file(path("report")));
  EXPECT_FALSE(fs::exists(path("report")));
  EXPECT_TRUE(send(output, "{}"));
  EXPECT_EQ(read_file(path("report")), "{}\n");
  EXPECT_THAT(names_in(directory_), ElementsAre("report")) << "and nothing beside it";
}

TEST_F(ReportOutputTest, AFileIsReplacedInOneStepAndKeepsItsMode) {
  write_file(path("report"), "old");
  fs::permissions(path("report"), fs::perms(0640));
  const sys::UniqueFd reader(::open(path("report").c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_TRUE(send(open(to_file(path("report"))), "new"));
  EXPECT_EQ(read_file(path("report")), "new\n");
  EXPECT_EQ(fs::status(path("report")).permissions(), fs::perms(0640));
  char old[8] = {};
  EXPECT_EQ(::read(reader.get(), old, sizeof old), 3) << "whoever has the old one open still has it whole";
  EXPECT_THAT(names_in(directory_), ElementsAre("report"));
}

TEST_F(ReportOutputTest, ASymbolicLinkStaysAndItsFileIsReplaced) {
  write_file(path("real"), "old");
  fs::create_symlink("real", path("link"));
  EXPECT_TRUE(send(open(to_file(path("link"))), "new"));
  EXPECT_TRUE(fs::is_symlink(path("link")));
  EXPECT_EQ(read_file(path("real")), "new\n");
}

TEST_F(ReportOutputTest, TheDirectoryIsTheOneItWasAtTheStart) {
  fs::create_directory(path("a"));
  ReportOutput output = open(to_file(path("a/report")));
  fs::rename(path("a"), path("b"));
  EXPECT_TRUE(send(output, "{}"));
  EXPECT_EQ(read_file(path("b/report")), "{}\n");
}

TEST_F(ReportOutputTest, WhatCannotBeWrittenIsKnownBeforeTheStart) {
  write_file(path("file"), "");
  fs::create_directory(path("directory"));
  const auto refused = [](const std::string& target) {
    const auto output = ReportOutput::open(to_file(target));
    EXPECT_FALSE(output) << target;
    return output ? 0 : output.error().code;
  };
  EXPECT_EQ(refused(path("missing/report")), ENOENT);
  EXPECT_EQ(refused(path("file/report")), ENOTDIR);
  EXPECT_EQ(refused(path("directory")), EISDIR);
  EXPECT_EQ(refused(path("new/")), EISDIR);
  if (::geteuid() != 0) {  // root may write everywhere
    fs::permissions(path("directory"), fs::perms::owner_read | fs::perms::owner_exec);
    EXPECT_EQ(refused(path("directory/report")), EACCES);
  }
  const auto named = ReportOutput::open(to_file(path("missing/report")));
  EXPECT_THAT(named.error().message(), HasSubstr(path("missing/report")));
}

TEST_F(ReportOutputTest, ADirectoryThatIsGoneAtTheEndIsAnErrorThatNamesTheFile) {
  fs::create_directory(path("a"));
  ReportOutput output = open(to_file(path("a/report")));
  fs::remove(path("a"));
  const auto written = send(output, "{}");
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ENOENT);
  EXPECT_EQ(written.error().subject, path("a/report"));
}

TEST_F(ReportOutputTest, DevicesAreWrittenToAndNotReplaced) {
  EXPECT_TRUE(send(open(to_file("/dev/null")), "{}"));
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  EXPECT_EQ(failure(to_file("/dev/full")), ENOSPC);
}

TEST_F(ReportOutputTest, AFifoIsWrittenTo) {
  ASSERT_EQ(::mkfifo(path("fifo").c_str(), 0600), 0);
  const sys::UniqueFd reader(::open(path("fifo").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  EXPECT_TRUE(send(open(to_file(path("fifo"))), "{}"));
  char bytes[8] = {};
  EXPECT_EQ(::read(reader.get(), bytes, sizeof bytes), 3);
  EXPECT_TRUE(fs::is_fifo(path("fifo")));
}

TEST_F(ReportOutputTest, AFifoMayFindItsReaderDuringTheRun) {
  ASSERT_EQ(::mkfifo(path("fifo").c_str(), 0600), 0);
  ReportOutput output = open(to_file(path("fifo")));
  const auto nobody = send(output, "{}");
  ASSERT_FALSE(nobody) << "and nobody waits for one";
  EXPECT_EQ(nobody.error().code, ENXIO);
  EXPECT_EQ(nobody.error().subject, path("fifo"));
  const sys::UniqueFd reader(::open(path("fifo").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  EXPECT_TRUE(send(output, "{}"));
}

TEST_F(ReportOutputTest, ASlowReaderGetsAllOfIt) {
  Pipe pipe;
  const std::size_t before = pipe.fill();
  ReportOutput output = open(to_descriptor(pipe.writer.get()));
  pipe.writer.reset();
  const std::string text(300'000, 'r');
  std::string received;
  std::thread reader([&] { received = pipe.drain(); });
  EXPECT_TRUE(send(output, text));
  output = ReportOutput();
  reader.join();
  EXPECT_EQ(received.substr(before), text + "\n");
}

TEST_F(ReportOutputTest, AReaderThatDoesNotReadIsGivenUpWhenAsked) {
  Pipe pipe;
  (void)pipe.fill();
  Pipe news;
  ASSERT_EQ(::write(news.writer.get(), "..!", 3), 3);
  ReportOutput output = open(to_descriptor(pipe.writer.get()));
  std::string read;
  const GiveUp give_up{.fd = news.reader.get(), .asked = [&] {
                         char byte = 0;
                         if (::read(news.reader.get(), &byte, 1) == 1) read += byte;
                         return byte == '!' ? Asked::yes : Asked::no;
                       }};
  const auto written = send(output, "{}", give_up);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, EINTR);
  EXPECT_EQ(read, "..!") << "other news do not end the wait";
}

TEST_F(ReportOutputTest, ARequestDoesNotKeepAReportFromAReaderWithRoom) {
  Pipe pipe;
  Pipe request;
  EXPECT_TRUE(send(open(to_descriptor(pipe.writer.get())), "{}", asked_on(request)));
}

TEST_F(ReportOutputTest, AReaderThatIsGoneIsAnError) {
  Pipe pipe;
  pipe.reader.reset();
  EXPECT_EQ(failure(to_descriptor(pipe.writer.get())), EPIPE);
}

TEST_F(ReportOutputTest, WhatADanglingLinkLeadsToIsMade) {
  fs::create_directory(path("elsewhere"));
  fs::create_symlink("elsewhere/second", path("report"));
  fs::create_symlink("third", path("elsewhere/second"));
  EXPECT_EQ(failure(to_file(path("report"))), 0);
  EXPECT_TRUE(fs::is_symlink(path("report")));
  EXPECT_TRUE(fs::is_symlink(path("elsewhere/second")));
  EXPECT_EQ(read_file(path("elsewhere/third")), "{}\n");
}

TEST_F(ReportOutputTest, ALinkIntoNowhereIsKnownBeforeTheStart) {
  fs::create_symlink("missing/report", path("report"));
  EXPECT_EQ(ReportOutput::open(to_file(path("report"))).error().code, ENOENT);
  fs::create_symlink("circle", path("circle"));
  EXPECT_EQ(ReportOutput::open(to_file(path("circle"))).error().code, ELOOP);
}

TEST_F(ReportOutputTest, NothingIsWaitedForWhenTimeIsUp) {
  Pipe pipe;
  (void)pipe.fill();
  const GiveUp give_up{.fd = -1, .asked = {}, .until = core::Clock::now() + core::Millis(20)};
  const auto written = send(open(to_descriptor(pipe.writer.get())), "{}", give_up);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ETIMEDOUT);
}

TEST_F(ReportOutputTest, WhatNeedsNoWaitingIsWrittenHoweverLate) {
  Pipe pipe;
  const GiveUp late{.fd = -1, .asked = {}, .until = core::Clock::now() - core::Millis(1)};
  EXPECT_TRUE(send(open(to_descriptor(pipe.writer.get())), "{}", late));
  pipe.writer.reset();
  EXPECT_EQ(pipe.drain(), "{}\n");
}

// --- events

TEST_F(EventOutputTest, NoneIsNotWanted) {
  auto events = EventOutput::open({}).take();
  EXPECT_FALSE(events.wanted());
  events.write("{}");
  EXPECT_EQ(events.dropped(), 0);
}

TEST_F(EventOutputTest, AFileIsAppendedTo) {
  write_file(path("events"), "first\n");
  auto events = EventOutput::open(to_file(path("events"))).take();
  EXPECT_EQ(::fcntl(events.descriptor(), F_GETFD), FD_CLOEXEC);
  events.write("second");
  EXPECT_EQ(read_file(path("events")), "first\nsecond\n") << "at once, not at the end";
  events.write(std::string(3 * PIPE_BUF, 'e'));
  EXPECT_THAT(read_file(path("events")), EndsWith("ee\n"));
  EXPECT_EQ(events.dropped(), 0);
}

TEST_F(EventOutputTest, WhatAReaderIsTooSlowForIsDroppedAndCounted) {
  Pipe pipe;
  const std::size_t before = pipe.fill();
  auto events = EventOutput::open(to_descriptor(pipe.writer.get())).take();
  events.write("lost");
  events.write("lost");
  EXPECT_EQ(events.dropped(), 2);
  std::string bytes(before, ' ');
  ASSERT_EQ(::read(pipe.reader.get(), bytes.data(), before), static_cast<ssize_t>(before));
  events.write("heard");
  EXPECT_EQ(events.dropped(), 2);
  EXPECT_EQ(::read(pipe.reader.get(), bytes.data(), before), 6);
}

TEST_F(EventOutputTest, ALineThatMightBlockIsDropped) {
  Pipe pipe;
  auto events = EventOutput::open(to_descriptor(pipe.writer.get())).take();
  events.write(std::string(PIPE_BUF - 1, 'e'));
  EXPECT_EQ(events.dropped(), 0);
  events.write(std::string(PIPE_BUF, 'e'));
  EXPECT_EQ(events.dropped(), 1) << "no part of it arrives";
}

TEST_F(EventOutputTest, AReaderThatIsGoneCostsOnlyTheEvents) {
  Pipe pipe;
  auto events = EventOutput::open(to_descriptor(pipe.writer.get())).take();
  pipe.reader.reset();
  events.write("{}");
  EXPECT_EQ(events.dropped(), 0);
  EXPECT_EQ(events.failed(), 1);
  EXPECT_EQ(events.failure(), EPIPE);
}

TEST_F(EventOutputTest, AFullDiskIsNoSlowReader) {
  auto events = EventOutput::open(to_file("/dev/full")).take();
  events.write("{}");
  events.write("{}");
  EXPECT_EQ(events.dropped(), 0);
  EXPECT_EQ(events.failed(), 2);
  EXPECT_EQ(events.failure(), ENOSPC);
}

TEST_F(EventOutputTest, WhatCannotBeWrittenIsKnownBeforeTheStart) {
  const auto missing = EventOutput::open(to_file(path("missing/events")));
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ENOENT);
  EXPECT_EQ(missing.error().subject, path("missing/events"));
  EXPECT_EQ(EventOutput::open(to_descriptor(100'000)).error().code, EBADF);
}

}  // namespace
}  // namespace reapctl::engine
