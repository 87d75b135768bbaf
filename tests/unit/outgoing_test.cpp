#include "engine/outgoing.hpp"

#include "engine/shared_page.hpp"
#include "support/environment.hpp"
#include "support/forked.hpp"
#include "support/pipe.hpp"
#include "sys/descriptors.hpp"

#include <csignal>
#include <fcntl.h>
#include <functional>
#include <pty.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <gmock/gmock.h>

namespace reapctl::engine {
namespace {

using test::Pipe;
using test::read_file;
using test::TempDir;
using test::write_file;

struct Ends {
  sys::UniqueFd reader;
  sys::UniqueFd writer;
};

struct Stream {
  const char* name;
  std::function<Ends()> open;
};

Ends pipe_of(int flags) {
  Pipe pipe;
  (void)::fcntl(pipe.writer.get(), F_SETFL, flags);
  return {.reader = std::move(pipe.reader), .writer = std::move(pipe.writer)};
}

Ends socket_of(int flags) {
  int ends[2] = {-1, -1};
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  (void)::fcntl(ends[1], F_SETFL, flags);
  return {.reader = sys::UniqueFd(ends[0]), .writer = sys::UniqueFd(ends[1])};
}

Ends terminal_of(int flags) {
  termios raw{};
  ::cfmakeraw(&raw);
  int ends[2] = {-1, -1};
  EXPECT_EQ(::openpty(&ends[0], &ends[1], nullptr, &raw, nullptr), 0);
  (void)::fcntl(ends[1], F_SETFL, flags);
  return {.reader = sys::UniqueFd(ends[0]), .writer = sys::UniqueFd(ends[1])};
}

std::string read_some(int fd, std::size_t limit) {
  std::string text(limit, '\0');
  const ssize_t count = ::read(fd, text.data(), text.size());
  text.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
  return text;
}

std::string long_text() {
  std::string text;
  for (int number = 0; text.size() < 200'000; ++number) text += std::to_string(number) + "\n";
  return text;
}

/// A counter as the shared page has it.
sys::UniqueFd file_of(const std::string& text) {
  auto file = sys::make_memory_file("outgoing");
  EXPECT_TRUE(file);
  EXPECT_EQ(::pwrite(file->get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  return file.take();
}

class OutgoingStream : public testing::TestWithParam<Stream> {};

INSTANTIATE_TEST_SUITE_P(All, OutgoingStream,
                         testing::Values(Stream{"pipe", [] { return pipe_of(0); }},
                                         Stream{"pipe_without_waiting", [] { return pipe_of(O_NONBLOCK); }},
                                         Stream{"pipe_to_append", [] { return pipe_of(O_APPEND); }},
                                         Stream{"socket", [] { return socket_of(0); }},
                                         Stream{"socket_without_waiting", [] { return socket_of(O_NONBLOCK); }},
                                         Stream{"socket_to_append", [] { return socket_of(O_APPEND); }},
                                         Stream{"terminal", [] { return terminal_of(0); }},
                                         Stream{"terminal_to_append", [] { return terminal_of(O_APPEND); }},
                                         Stream{"terminal_without_waiting", [] { return terminal_of(O_NONBLOCK); }}),
                         [](const auto& stream) { return std::string(stream.param.name); });

/// At another place each time: who sends is ahead of who reads by as much as the stream holds.
TEST_P(OutgoingStream, WhoGoesOnAfterASigkillSendsWhatHasNotArrived) {
  const auto page = make_shared_page();
  ASSERT_TRUE(page);
  const std::string text = long_text();
  for (std::size_t killed_at = 1; killed_at < text.size(); killed_at += 19'001) {
    SCOPED_TRACE(killed_at);
    Progress& progress = *new (&(*page)->report.state.text) Progress{};
    const sys::UniqueFd counter = file_of(text);
    Ends stream = GetParam().open();
    const auto send = [&] {
      (void)::signal(SIGPIPE, SIG_IGN);
      return Outgoing(text, counter.get(), progress).send(stream.writer.get(), text.size(), {}).ok();
    };
    const auto start = [&] {
      const pid_t pid = test::must_fork();
      if (pid == 0) ::_exit(send() ? 0 : 1);
      return pid;
    };
    const pid_t first = start();
    std::string received;
    while (received.size() < killed_at) received += read_some(stream.reader.get(), 5'000);
    ASSERT_EQ(::kill(first, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(::waitpid(first, &status, 0), first);
    EXPECT_EQ(progress.written.load(), 0U) << "by sendfile(2)";
    const pid_t second = start();
    stream.writer.reset();
    for (std::string more = " "; !more.empty(); received += more) more = read_some(stream.reader.get(), 50'000);
    ASSERT_EQ(::waitpid(second, &status, 0), second);
    EXPECT_EQ(status, 0);
    ASSERT_TRUE(received == text) << received.size() << " bytes";
  }
}

TEST(Outgoing, APlaceThatTakesNoSendfileIsWrittenTo) {
  // Has a position, so the flag stays.
  const sys::UniqueFd null(::open("/dev/null", O_WRONLY | O_APPEND | O_CLOEXEC));
  const std::string text = "some text\n";
  const sys::UniqueFd counter = file_of(text);
  Progress progress{};
  Outgoing bytes(text, counter.get(), progress);
  EXPECT_TRUE(bytes.send(null.get(), 5, {}));
  EXPECT_EQ(progress.written.load(), 5U);
  EXPECT_EQ(bytes.position(), 5U);
  EXPECT_TRUE(bytes.send(null.get(), text.size(), {}));
  EXPECT_EQ(progress.written.load(), text.size());
  EXPECT_NE(::fcntl(null.get(), F_GETFL) & O_APPEND, 0);
}

TEST(Outgoing, WhatIsSkippedIsNotSent) {
  Pipe pipe;
  const std::string text = "one two three";
  const sys::UniqueFd counter = file_of(text);
  Progress progress{};
  Outgoing bytes(text, counter.get(), progress);
  EXPECT_TRUE(bytes.send(pipe.writer.get(), 4, {}));
  bytes.skip_to(8);
  EXPECT_TRUE(bytes.send(pipe.writer.get(), text.size(), {}));
  EXPECT_EQ(read_some(pipe.reader.get(), 100), "one three");
}

TEST(Outgoing, AFileThatWasCutShortEndsWhereItEnds) {
  Pipe pipe;
  const sys::UniqueFd file = file_of("short");
  for (const int counter : {-1, file.get()}) {
    Progress progress{};
    EXPECT_TRUE(Outgoing(file.get(), counter, progress).send(pipe.writer.get(), 100, {}));
    EXPECT_EQ(read_some(pipe.reader.get(), 100), "short");
  }
}

/// Somebody was killed between write(2) and the note of it; the test has done that write.
class OutgoingToFile : public testing::TestWithParam<int> {
 protected:
  OutgoingToFile() { write_file(path_, before_); }

  [[nodiscard]] sys::UniqueFd open() const {
    sys::UniqueFd file(::open(path_.c_str(), O_WRONLY | O_CLOEXEC | GetParam()));
    EXPECT_GT(::lseek(file.get(), 0, SEEK_END), 0);
    return file;
  }

  /// Goes on when that is what the file has got meanwhile.
  void go_on(const sys::UniqueFd& file, const std::string& meanwhile) {
    Progress progress{};
    progress.since = static_cast<std::int64_t>(before_.size());
    progress.block = 1;
    EXPECT_EQ(::write(file.get(), meanwhile.data(), meanwhile.size()), static_cast<ssize_t>(meanwhile.size()));
    EXPECT_TRUE(Outgoing(text_, -1, progress).send(file.get(), text_.size(), {}));
    EXPECT_EQ(progress.written.load(), text_.size());
  }

  /// What the file holds then, behind what it held before.
  std::string after(const std::string& meanwhile) {
    go_on(open(), meanwhile);
    return read_file(path_).substr(before_.size());
  }

  TempDir directory_;
  std::string path_ = directory_ / "log";
  std::string text_ = "report 2\n";
  std::string before_ = "report 1\nreport 2\n";  // what was there already does not count
};

INSTANTIATE_TEST_SUITE_P(Each, OutgoingToFile, testing::Values(0, O_APPEND),
                         [](const auto& flag) { return flag.param == 0 ? "at_its_position" : "to_append"; });

TEST_P(OutgoingToFile, WhatIsThereIsNotWrittenAgain) {
  EXPECT_EQ(after(text_), text_);
  write_file(path_, before_);
  EXPECT_EQ(after("others\n" + text_ + "others\n"), "others\n" + text_ + "others\n");
}

TEST_P(OutgoingToFile, WhatIsNotThereIsWritten) {
  EXPECT_EQ(after(""), text_);
  write_file(path_, before_);
  EXPECT_EQ(after("report 3\n"), "report 3\n" + text_);
}

TEST_P(OutgoingToFile, APartOfItIsCompleted) {
  EXPECT_EQ(after(text_.substr(0, 3)), text_);
}

TEST_P(OutgoingToFile, WhatIsLongerThanOneBlockComesOnce) {
  const std::string wanted = text_ = std::string(10'000, 'z');  // each block looks like the one before
  const sys::UniqueFd file(::open(path_.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC | GetParam()));
  Progress progress{};
  Outgoing bytes(text_, -1, progress);
  EXPECT_TRUE(bytes.send(file.get(), 5'000, {}));
  EXPECT_TRUE(Outgoing(text_, -1, progress).send(file.get(), text_.size(), {})) << "somebody else goes on";
  EXPECT_TRUE(read_file(path_) == wanted) << read_file(path_).size();
}

TEST_P(OutgoingToFile, AFileThatMayNotBeReadTellsByItsPosition) {
  for (const bool was_written : {true, false}) {
    write_file(path_, before_);
    const sys::UniqueFd file = open();
    ASSERT_EQ(::chmod(path_.c_str(), 0200), 0);
    EXPECT_TRUE(test::holds_when_forked([&] {
      if (::geteuid() == 0 && ::setresuid(65534, 65534, 65534) != 0) return false;
      if (sys::UniqueFd(::open(path_.c_str(), O_RDONLY | O_CLOEXEC)).valid()) return false;
      go_on(file, was_written ? text_ : "");
      return !HasFailure();
    }));
    ASSERT_EQ(::chmod(path_.c_str(), 0600), 0);
    EXPECT_EQ(read_file(path_), before_ + text_);
  }
}

}  // namespace
}  // namespace reapctl::engine
