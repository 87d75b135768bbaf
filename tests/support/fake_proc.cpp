#include "support/fake_proc.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace reapctl::testing {

FakeProc::FakeProc(std::initializer_list<FakeFile> files)
    : root_((std::filesystem::temp_directory_path() / "reapctl-fake-proc-XXXXXX").string()) {
  if (::mkdtemp(root_.data()) == nullptr) throw std::runtime_error("mkdtemp " + root_);
  put({"thread-self/children", ""});
  for (const FakeFile& file : files) put(file);
}

FakeProc::~FakeProc() {
  std::error_code ignored;  // a destructor must not throw; a directory left behind shows in the next look at TMPDIR
  std::filesystem::remove_all(root_, ignored);
}

FakeProc& FakeProc::without_children_files() {
  std::filesystem::remove_all(root_ + "/thread-self");
  return *this;
}

void FakeProc::put(const FakeFile& file) const {
  const std::filesystem::path path = std::filesystem::path(root_) / file.path;
  std::filesystem::create_directories(path.parent_path());
  if (const auto* link = std::get_if<Link>(&file.content)) {
    std::filesystem::create_symlink(link->target, path);
    return;
  }
  std::ofstream out(path, std::ios::binary);
  out << std::get<std::string>(file.content);
  if (!out.flush()) throw std::runtime_error("write " + path.string());
}

std::string stat_line(const FakeStat& stat) {
  std::string line = std::to_string(stat.pid) + " (" + std::string(stat.comm) + ") " + stat.state;
  // ppid pgrp session tty_nr tpgid flags minflt cminflt majflt cmajflt utime stime cutime cstime priority nice
  line += " " + std::to_string(stat.ppid) + " 20 21 34816 -1 4194304 1 2 3 4 150 50 7 8 20 0 ";
  // num_threads itrealvalue starttime vsize rss rsslim …
  line += std::to_string(stat.threads) + " 0 " + std::to_string(stat.start_ticks) + " 4096000 25 18446744073709551615";
  // startcode … exit_signal processor … arg_end
  line += " 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 ";
  return line + std::to_string(stat.environment_begin) + " " + std::to_string(stat.environment_end) + " 0\n";
}

}  // namespace reapctl::testing
