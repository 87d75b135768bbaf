#include "proc/host.hpp"

#include <ctime>
#include <fstream>
#include <string_view>

namespace reapctl::proc {
namespace {

std::string first_line(const ProcFs& proc, std::string_view path) {
  const auto text = proc.read(path);
  return text ? text->substr(0, text->find('\n')) : std::string();
}

}  // namespace

std::string host_name(const ProcFs& proc) {
  return first_line(proc, "sys/kernel/hostname");
}

std::string machine_id(const ProcFs& proc, const std::string& path) {
  std::string id;
  std::getline(std::ifstream(path), id);
  return id.empty() || id == "uninitialized" ? host_name(proc) : id;
}

std::string boot_id(const ProcFs& proc) {
  return first_line(proc, "sys/kernel/random/boot_id");
}

std::chrono::nanoseconds since_boot() {
  timespec now{};
  (void)::clock_gettime(CLOCK_BOOTTIME, &now);  // can't fail: Linux 2.6.39 has the clock
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

}  // namespace reapctl::proc
