#include "hostile/misbehaviours.hpp"
#include "support/json_sink.hpp"
#include "support/namespace.hpp"
#include "support/process.hpp"
#include "support/reapctl.hpp"
#include "support/world.hpp"

#include <algorithm>
#include <cctype>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <tuple>
#include <unistd.h>

#include <gtest/gtest.h>

/// Every misbehaviour times every trigger times every containment mode times root and an ordinary user, each in a world
/// of its own: nothing is left, neither process nor directory nor record, the report is true and there is one, and
/// it takes bounded time. What cannot be contained is in the table as well (Special), with what happens instead.
namespace reapctl::test {
namespace {

namespace fs = std::filesystem;
using std::chrono::seconds;

constexpr const char* kContainments[] = {"subreaper", "cgroup"};

/// From the trigger until nothing is left. The ladder takes 0.1 s, the fastest chains end within 2 s of its last rung
/// on two cores, and tests run side by side.
constexpr seconds kBound{15};

/// A sweep adopts nobody. It gives its last rung ten seconds against chains, each look at which takes a while,
/// with sanitizers several seconds.
constexpr seconds kSweepBound{60};

/// What the trigger should lead to.
struct Expected {
  std::string result;
  std::string cause;  ///< of the stop; empty: whatever it is
  int code = 0;
  bool by_sigkill = false;  ///< the process that the caller knows is dead: it is for the report to tell the code
};

Expected expected(const Misbehaviour& misbehaviour, Trigger trigger) {
  const int stopped = misbehaviour.code_when_stopped;
  switch (trigger) {
    case Trigger::main_exits: return {.result = "success", .cause = "", .code = 0};
    case Trigger::sigterm: return {.result = "stopped", .cause = "signal", .code = stopped};
    case Trigger::timeout: return {.result = "timeout", .cause = "timeout", .code = 124};
    case Trigger::guard_killed:
    case Trigger::group_killed:
      return {.result = "guard-died", .cause = "guard-death", .code = 125, .by_sigkill = true};
    case Trigger::supervisor_killed: return {.result = "supervisor-died", .cause = "supervisor-death", .code = 125};
    case Trigger::parent_dies: return {.result = "stopped", .cause = "die-with", .code = stopped, .by_sigkill = true};
    case Trigger::both_killed: break;
  }
  return {};
}

/// One cell of the table, played by PID 1.
class Cell {
 public:
  Cell(const World& world, const Misbehaviour& misbehaviour, Trigger trigger, std::string containment, bool root)
      : world_(world),
        misbehaviour_(misbehaviour),
        trigger_(trigger),
        containment_(std::move(containment)),
        // cgroup.kill asks nobody for permission.
        survives_(misbehaviour.special == Special::set_uid && !root && containment_ != "cgroup") {
    fs::create_directory(base_);
    // For a process of another user to say that it is there.
    fs::permissions(fs::path(roster_.path()).parent_path(), fs::perms::all);
    fs::permissions(roster_.path(), fs::perms::all);
    if (report_ < 0 || ::pipe2(output_, O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
  }
  // Its descriptors are closed with the world.

  void play() {
    start();
    if (testing::Test::HasFatalFailure()) return;
    pull();
    if (misbehaviour_.special == Special::supervisor_frozen) thaw_until_over();
    if (misbehaviour_.special == Special::supervisor_harassed) give_up_the_harassed();
    const Outcome outcome = reapctl_->wait(kBound);
    if (supervisor_ > 1 && trigger_ != Trigger::both_killed) {
      EXPECT_TRUE(await_end(supervisor_, kBound));
    }
    const bool reaped = trigger_ == Trigger::both_killed ? sweep() : await([this] { return only_left(); }, kBound);
    EXPECT_TRUE(reaped) << "left behind:\n" << others();
    EXPECT_TRUE(survives_ || fs::is_empty(base_)) << "the work directory is left";
    EXPECT_TRUE(survives_ || !fs::exists(registry_) || fs::is_empty(registry_)) << "the record is left";
    if (others().empty()) check_pipe_and_lock();
    check_report(outcome);
  }

 private:
  [[nodiscard]] std::string filled_in(std::string step) const {
    for (const auto& [name, value] : {std::pair{"@FILES", world_.directory}, std::pair{"@CGROUP", world_.cgroup},
                                      std::pair{"@SET_UID", world_.set_uid}, std::pair{"@READY", roster_.path()}}) {
      const auto at = step.find(name);
      if (at != std::string::npos) step.replace(at, std::string(name).size(), value);
    }
    return step;
  }

  void start() {
    Args steps;
    for (const std::string& step : misbehaviour_.steps) steps.push_back(filled_in(step));
    for (const std::string& step : {std::string("ready=main"), "await=" + gate_.path(), std::string("exit=0")}) {
      steps.push_back(step);
    }
    Args options = {"--report",  "fd:3",      "--workdir-base", base_, "--ladder", "INT/TERM:100ms,KILL",
                    "--contain", containment_};
    if (trigger_ == Trigger::timeout) options.insert(options.end(), {"--timeout", "300ms"});
    if (trigger_ == Trigger::parent_dies) options.insert(options.end(), {"--die-with", "parent"});
    Launch launch = run_of(std::move(options), misbehave(roster_, std::move(steps)));
    launch.with_report = false;
    launch.env = {{"REAPCTL_REGISTRY", registry_}};
    launch.fds = {{3, report_}};
    launch.stdout_fd = output_[1];
    launch.leaves_processes = true;
    if (trigger_ == Trigger::parent_dies) {
      launch.wrapper = misbehave(roster_, {"fork", "[", "exec"});
      launch.args.insert(launch.args.end(), {"]", "ready=parent"});
    }
    reapctl_ = std::make_unique<Reapctl>(std::move(launch));
    ::close(output_[1]);
    if (trigger_ == Trigger::timeout) return;  // it may strike before everybody is there
    Args roles = misbehaviour_.roles;
    roles.emplace_back("main");
    if (trigger_ == Trigger::parent_dies) roles.emplace_back("parent");
    main_ = roster_.await_roles(std::move(roles)).at("main");
    supervisor_ = supervisor_of(main_);
    front_ = front_of(main_);
    ASSERT_GT(supervisor_, 1);
    ASSERT_GT(front_, 1);
    ASSERT_NE(front_, supervisor_);
  }

  void pull() {
    switch (trigger_) {
      case Trigger::main_exits: gate_.open(); break;
      case Trigger::sigterm: send_signal(front_, SIGTERM); break;
      case Trigger::timeout: break;
      case Trigger::guard_killed: send_signal(front_, SIGKILL); break;
      case Trigger::supervisor_killed: send_signal(supervisor_, SIGKILL); break;
      case Trigger::group_killed: EXPECT_EQ(::kill(-front_, SIGKILL), 0); break;
      case Trigger::parent_dies: reapctl_->send(SIGKILL); break;
      case Trigger::both_killed:
        send_signal(front_, SIGSTOP);  // so that neither sees the other die
        send_signal(supervisor_, SIGSTOP);
        send_signal(supervisor_, SIGKILL);
        send_signal(front_, SIGKILL);
        break;
    }
    if (misbehaviour_.special == Special::guard_stopped && front_ > 0) (void)::kill(front_, SIGCONT);
  }

  /// At the timeout it may not have been frozen yet.
  void thaw_until_over() const {
    EXPECT_TRUE(await(
        [this] {
          write_file(world_.cgroup + "/prison/cgroup.freeze", "0");
          return await_end(reapctl_->pid(), std::chrono::milliseconds(0));
        },
        kBound));
  }

  /// Without a guard to continue it, it is for somebody else to end it; unless it was quicker.
  void give_up_the_harassed() {
    if (trigger_ != Trigger::guard_killed && trigger_ != Trigger::group_killed) return;
    if (await_end(supervisor_, std::chrono::milliseconds(500))) return;
    send_signal(supervisor_, SIGKILL);
    trigger_ = Trigger::both_killed;
  }

  /// One sweep for what nobody is left to clean up after.
  bool sweep() {
    EXPECT_TRUE(await([this] {
      reap();
      return !identify(supervisor_);
    }));
    const bool with_cgroup = containment_ == "cgroup";
    const bool ends_all =
        with_cgroup || (misbehaviour_.special != Special::lost && misbehaviour_.special != Special::chain);
    Launch launch{.args = {"sweep", "--json", "--ladder", "INT/TERM:100ms,KILL"},
                  .env = {{"REAPCTL_REGISTRY", registry_}},
                  .leaves_processes = true};
    Reapctl sweeping(std::move(launch));
    EXPECT_TRUE(await([&sweeping] { return reap_before(sweeping.pid()); }, kSweepBound));
    const Outcome outcome = sweeping.wait(kSweepBound);
    keep_json("sweep", outcome.out.substr(0, outcome.out.find('\n')));
    if (ends_all || misbehaviour_.special == Special::lost) {
      EXPECT_EQ(outcome.code(), survives_ ? 4 : 0) << outcome.out << outcome.err;
    } else if (outcome.code() != 0) {
      EXPECT_EQ(outcome.code(), 4) << "what cannot be ended is said" << outcome.out << outcome.err;
      survives_ = true;  // and the run stays on record
    }
    return ends_all ? await([this] { return only_left(); }, kBound) : true;
  }

  /// As every first process does: a storm would fill the pid table with zombies. True once `pid` has ended, who is left
  /// to be reaped by others.
  static bool reap_before(pid_t pid) {
    siginfo_t info{};
    while (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0 && info.si_pid != 0) {
      if (info.si_pid == pid) return true;
      (void)::waitpid(info.si_pid, nullptr, __WALL);
      info.si_pid = 0;
    }
    return false;
  }

  static void reap() {
    while (::waitpid(-1, nullptr, WNOHANG | __WALL) > 0) continue;
  }

  /// Everybody but us, in words.
  static std::string others() {
    std::string text;
    for (const auto& entry : fs::directory_iterator("/proc")) {
      const std::string name = entry.path().filename();
      if (name == "1" || std::isdigit(static_cast<unsigned char>(name[0])) == 0) continue;
      text += describe(std::stoi(name)) + "\n";
    }
    return text;
  }

  /// Nobody is left, or only he who cannot be killed.
  [[nodiscard]] bool only_left() const {
    reap();
    const std::string left = others();
    return survives_ ? std::count(left.begin(), left.end(), '\n') <= 1 : left.empty();
  }

  /// Who reads the output sees its end, and the lock is free.
  void check_pipe_and_lock() const {
    (void)::fcntl(output_[0], F_SETFL, O_NONBLOCK);
    char byte = 0;
    EXPECT_EQ(::read(output_[0], &byte, 1), 0) << "the pipe is still held open";
    const int lock = ::open((world_.directory + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    EXPECT_EQ(::flock(lock, LOCK_EX | LOCK_NB), 0) << "the lock is still held";
  }

  void check_report(const Outcome& outcome) const {
    const std::string text = read_file("/proc/self/fd/" + std::to_string(report_));
    if (trigger_ == Trigger::both_killed) {
      EXPECT_EQ(text, "") << "nobody was left to report";
      return;
    }
    ASSERT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << "one report, not none, not two: " << text;
    keep_json("report", text.substr(0, text.size() - 1));
    const auto report = nlohmann::json::parse(text, nullptr, false);
    Expected want = expected(misbehaviour_, trigger_);
    const bool survivor = !report["tree"]["survivors"].empty();
    if (survivor && want.code == 0) want.code = 125;
    EXPECT_EQ(report["result"], want.result) << text;
    EXPECT_EQ(report["exit_code"], want.code) << text;
    EXPECT_EQ(outcome.killed_by(), want.by_sigkill ? SIGKILL : 0) << outcome.err;
    if (!want.by_sigkill) {
      EXPECT_EQ(outcome.code(), want.code) << outcome.err;
    }
    if (!want.cause.empty()) {
      EXPECT_EQ(report["stop"]["cause"], want.cause) << text;
    }
    // At the timeout the survivor may not have been there yet.
    EXPECT_TRUE(survivor == survives_ || (survives_ && trigger_ == Trigger::timeout)) << text;
  }

  const World& world_;
  const Misbehaviour& misbehaviour_;
  Trigger trigger_;
  std::string containment_;
  bool survives_;  ///< somebody does, who is not ours to signal
  TempDir directory_;
  std::string base_ = directory_ / "base";
  std::string registry_ = directory_ / "registry";
  Roster roster_;
  Gate gate_;
  int output_[2] = {-1, -1};
  int report_ = ::memfd_create("report", MFD_CLOEXEC);
  std::unique_ptr<Reapctl> reapctl_;
  Process main_;
  pid_t supervisor_ = -1;
  pid_t front_ = -1;
};

using Row = std::tuple<Misbehaviour, const char*, User>;

class Hostile : public testing::TestWithParam<Row> {};

TEST_P(Hostile, LeavesNothing) {
  const auto& [misbehaviour, containment, user] = GetParam();
  REQUIRE_PID_NAMESPACE();
  const Special special = misbehaviour.special;
  if (user == User::nobody && ::geteuid() != 0) GTEST_SKIP() << "needs root to become somebody else";
  if (special == Special::chain && !has_own_pid_max()) GTEST_SKIP() << "could use up the pids of this machine";
  if (special == Special::set_uid && ::geteuid() != 0) GTEST_SKIP() << "needs root to make a set-uid program";
  const bool needs_cgroup =
      special == Special::cgroup || special == Special::supervisor_frozen || containment == std::string_view("cgroup");
  if (needs_cgroup && !can_make_cgroups()) GTEST_SKIP() << "no cgroup can be made here";
  const bool root = user == User::self && ::geteuid() == 0;
  for (const Trigger trigger : kTriggers) {
    SCOPED_TRACE(name_of(trigger));
    in_a_world_apart(user, [&](const World& world) { Cell(world, misbehaviour, trigger, containment, root).play(); });
  }
}

std::string name_of_row(const testing::TestParamInfo<Row>& row) {
  const auto& [misbehaviour, containment, user] = row.param;
  return std::string(misbehaviour.name) + "_" + containment + (user == User::nobody ? "_nobody" : "_self");
}

INSTANTIATE_TEST_SUITE_P(Table, Hostile,
                         testing::Combine(testing::ValuesIn(misbehaviours()), testing::ValuesIn(kContainments),
                                          testing::Values(User::self, User::nobody)),
                         name_of_row);

}  // namespace
}  // namespace reapctl::test
