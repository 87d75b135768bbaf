#include "documentation/manual.hpp"

#include "documentation/help.hpp"
#include "support/reapctl.hpp"
#include "support/sweep_fixture.hpp"
#include "support/tool.hpp"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace reapctl::test {
namespace {

using nlohmann::json;
using testing::ContainerEq;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::IsSupersetOf;

TEST(Manual, IsCleanToMandoc) {
  if (quiet_status({"mandoc", "-T", "lint", "-W", "stop", "/dev/null"}) == 127) GTEST_SKIP() << "no mandoc";
  EXPECT_THAT(pages(), IsSupersetOf({"reapctl.1", "reapctl-run.1", "reapctl-sweep.1", "reapctl-report.5"}));
  for (const std::string& page : pages()) {
    const Outcome lint = run({.wrapper = {"sh", "-c", "mandoc -T lint -W warning \"$1\"", "sh", page_path(page)}});
    EXPECT_EQ(lint.code(), 0) << page;
    EXPECT_EQ(lint.out + lint.err, "") << page;
  }
}

TEST(Manual, HasTheSectionsThatOneLooksFor) {
  for (const std::string page : {"reapctl.1", "reapctl-run.1", "reapctl-sweep.1"}) {
    std::set<std::string> sections;
    for (const ManualLine& line : lines_of(page)) sections.insert(line.section);
    EXPECT_THAT(sections, IsSupersetOf({"OPTIONS", "ENVIRONMENT", "FILES", "SIGNALS", "EXIT STATUS", "EXAMPLES",
                                        "SEE ALSO", "CAVEATS"}))
        << page;
  }
}

/// The keys of reapctl-report(5), as it writes them: "stop.rungs[].told".
class KeyCollector {
 public:
  explicit KeyCollector(const json& schema) : schema_(schema) { collect(schema, ""); }
  [[nodiscard]] const std::set<std::string>& keys() const { return keys_; }

 private:
  /// An object that is defined once for several places is described once, under the name of the definition.
  void collect(const json& node, const std::string& prefix) {
    if (node.contains("$ref") && resolved(node).contains("properties")) {
      const std::string name = definition_name(node);
      if (seen_.insert(name).second) collect(resolved(node), name + ".");
    }
    if (node.contains("oneOf")) {
      for (const json& each : node["oneOf"]) collect(each, prefix);
    }
    if (!node.contains("properties")) return;
    for (const auto& [key, value] : node["properties"].items()) {
      const json& inner = value.contains("items") ? value["items"] : value;
      const bool list_of_objects = value.contains("items") && resolved(inner).contains("properties");
      const std::string name = prefix + key + (list_of_objects ? "[]" : "");
      keys_.insert(name);
      collect(inner, name + ".");
    }
  }

  static std::string definition_name(const json& node) {
    return node["$ref"].get<std::string>().substr(std::string("#/$defs/").size());
  }
  [[nodiscard]] const json& resolved(const json& node) const {
    return node.contains("$ref") ? schema_["$defs"][definition_name(node)] : node;
  }

  const json& schema_;
  std::set<std::string> keys_;
  std::set<std::string> seen_;
};

std::set<std::string> schema_keys(const std::string& name) {
  const json schema = json::parse(read_file(std::string(REAPCTL_SCHEMA_DIR) + "/" + name + ".schema.json"));
  std::set<std::string> keys = KeyCollector(schema).keys();
  if (name == "show") {  // described under LIST
    std::erase_if(keys, [](const std::string& key) { return key.starts_with("run.") || key.starts_with("identity."); });
  }
  return keys;
}

/// In the section of that name; where the schema is one of several objects, each has a subsection.
std::set<std::string> manual_keys(const std::string& name) {
  std::string section = name;
  std::transform(section.begin(), section.end(), section.begin(),
                 [](unsigned char letter) { return std::toupper(letter); });
  std::set<std::string> keys;
  for (const ManualLine& line : lines_of("reapctl-report.5")) {
    if (line.section != section || !line.text.starts_with(".It Va ")) continue;
    const std::string key = (line.subsection.empty() ? "" : line.subsection + ".") + line.text.substr(7);
    EXPECT_TRUE(keys.insert(key).second) << "twice in the manual: " << key;
  }
  return keys;
}

TEST(Manual, HasEveryKeyOfTheJsonAndNoOther) {
  int schemas = 0;
  for (const auto& entry : std::filesystem::directory_iterator(REAPCTL_SCHEMA_DIR)) {
    const std::string file = entry.path().filename();
    const std::string name = file.substr(0, file.find('.'));
    if (name == "record") continue;  // for reapctl alone
    EXPECT_THAT(manual_keys(name), ContainerEq(schema_keys(name))) << name;
    ++schemas;
  }
  EXPECT_GE(schemas, 5);
}

/// Runs the examples of the manual as they stand there, in a directory with stand-ins for the programs they name.
class Examples : public SweepFixture {
 protected:
  Examples() {
    for (const char* program :
         {"backup", "check-server", "make", "pytest", "sync-mail", "systemctl", "systemd-run", "worker"}) {
      write_script(directory_ / program, std::string("#!/bin/sh\necho \"this is ") + program + " $*\"\n");
    }
    write_script(directory_ / "server", "#!/bin/sh\nexec sleep 1000\n");
    const std::string binary = std::filesystem::path(reapctl_path()).parent_path();
    environment_["PATH"] = directory_.path().string() + ":" + binary + ":/usr/bin:/bin";
  }

  Outcome run_shell(const std::string& script) {
    return run(
        {.wrapper = {"sh", "-c", script}, .env = environment_, .cwd = directory_.path(), .leaves_processes = true});
  }

  /// An active run "web" whose pid is in web.pid, and an orphan.
  void set_the_scene() {
    web_ = start("web", {}, {"--name", "web"});
    auto lost = start("lost", {}, {"--name", "lost"});
    const auto mains = roster_.await_roles({"web", "lost"});
    write_file(directory_ / "web.pid", std::to_string(mains.at("web").pid) + "\n");
    orphan(*lost, mains.at("lost"));
  }

  void clear_the_scene() {
    EXPECT_EQ(reapctl({"sweep", "--include-active"}).code(), 0);
    (void)web_->wait();
  }

  std::unique_ptr<Reapctl> web_;
};

std::vector<std::string> examples_of(const std::string& page) {
  std::vector<std::string> examples;
  bool inside = false;
  for (const ManualLine& line : lines_of(page)) {
    if (line.section != "EXAMPLES") continue;
    if (line.text == ".Ed") inside = false;
    if (inside) examples.back() += line.text + "\n";
    if (line.text.starts_with(".Bd ")) {
      inside = true;
      examples.emplace_back();
    }
  }
  return examples;
}

constexpr char kSilence[] = "(nothing)";

/// What the output of each example has to contain, or kSilence. By its first line.
const std::map<std::string, std::string> kShown = {
    {"reapctl run --report none -- make test", "this is make test"},
    {"reapctl list", "web"},
    {"reapctl show --pid \"$(cat web.pid)\"", " web: active"},
    {"reapctl stop --name web --stop-timeout 30s", ""},
    {"reapctl schema report > report.schema.json", ""},
    {"reapctl run --report none -- ./server --port 8000 &", "this is check-server http://localhost:8000/"},
    {"reapctl run -t 10m --report-format text -- pytest -n 4", "exit 0"},
    {"reapctl run -q -t 4m --lock sync --report sync.json -- sync-mail", kSilence},
    {"reapctl run --lock sync --on-overlap kill --tail 64k --report sync.json -- sync-mail", "this is sync-mail"},
    {"systemd-run --user --scope -p Delegate=yes reapctl run --contain cgroup -- make test",
     "this is systemd-run --user --scope -p Delegate=yes reapctl run --contain cgroup -- make test"},
    {"reapctl doctor", "auto picks"},
    {"reapctl run --ladder HUP:1s,TERM:10s,KILL --report none -- backup", "this is backup"},
    {"reapctl run --workdir-use cwd,tmp --keep-workdir on-failure -- make test", "\"result\":\"success\""},
    {"reapctl run --die-with parent --report none -- worker", "this is worker"},
    {"reapctl sweep -n", "Would kill 1 process"},
    {"reapctl sweep", "Killed 1 process"},
    {"reapctl sweep --older-than 1h --fail-if-found >sweep.log || cat sweep.log", ""},
    {"reapctl sweep --name web --include-active --format github", "web"},
    {"reapctl sweep --match-env BUILD_TAG=nightly-17 --yes", ""},
    {"systemctl enable --now reapctl-sweep.timer", "this is systemctl enable --now reapctl-sweep.timer"},
    {"reapctl run --report report.json -- make test", "success "},
    {"reapctl list --json | python3 -c '", ""},
    {"reapctl run -q --tail 4k --report report.json -- make test", "this is make test"},
    {"reapctl doctor --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[\"auto\"][\"mode\"])'", "r"},
    {"reapctl run --events /dev/stdout --report none -- make test | grep exited", "\"event\":\"exited\""},
};

TEST_F(Examples, AllWork) {
  std::set<std::string> known;
  for (const std::string& page : pages()) {
    for (const std::string& example : examples_of(page)) {
      const std::string first = example.substr(0, example.find('\n'));
      const auto shown = kShown.find(first);
      ASSERT_NE(shown, kShown.end()) << page << " has an example that this test does not know: " << first;
      known.insert(first);
      set_the_scene();
      const Outcome outcome = run_shell(example);
      EXPECT_EQ(outcome.code(), 0) << example << outcome.out << outcome.err;
      if (shown->second == kSilence) {
        EXPECT_EQ(outcome.out + outcome.err, "") << example;
      } else {
        EXPECT_THAT(outcome.out + outcome.err, HasSubstr(shown->second)) << example;
      }
      clear_the_scene();
    }
  }
  EXPECT_EQ(known.size(), kShown.size()) << "an example is gone from the manual";
}

}  // namespace
}  // namespace reapctl::test
