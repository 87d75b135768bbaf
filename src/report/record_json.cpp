#include "report/record_json.hpp"

#include "core/format.hpp"
#include "report/json_value.hpp"
#include "report/record_value.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <utility>

namespace reapctl::report {
namespace {

/// In bytes. A command line may have 2 MB, of which a record needs no more than people want to read.
constexpr std::size_t kArgumentLength = 512;
/// In bytes, all together. A byte may take six in JSON, a record has two such lists, and core::kRecordLimit holds both.
constexpr std::size_t kArgumentsLength = 16384;

/// What stands for `main` until the new process writes it down: long enough for what it will write.
constexpr std::string_view kSlot =
    "############################################################################################";
constexpr std::string_view kSlotBegin = R"("state":"starting","main":"#)";
constexpr std::string_view kSlotPrefix = R"("state":)";

Json to_value(const core::ProcessId& id) {
  return object({{"pid", id.pid}, {"start_ticks", id.start_ticks}});
}

Json to_value(const core::MainOnRecord& main) {
  return object({{"pid", main.id.pid}, {"start_ticks", main.id.start_ticks}, {"pgid", main.pgid}, {"sid", main.sid}});
}

std::vector<std::string> shortened_argv(const std::vector<std::string>& argv) {
  std::vector<std::string> kept;
  std::size_t length = 0;
  for (const std::string& argument : argv) {
    if (kept.size() == core::kArgumentsOnRecord || length >= kArgumentsLength) break;
    kept.push_back(argument.substr(0, kArgumentLength));
    length += kept.back().size();
  }
  return kept;
}

/// A path has to come back byte for byte, and JSON has no place for bytes that are not UTF-8.
Json path_value(const std::string& path) {
  try {
    (void)Json(path).dump();
    return path;
  } catch (const Json::exception&) {
    constexpr char kDigits[] = "0123456789abcdef";
    std::string hex;
    for (const char byte : path) {
      const auto value = static_cast<unsigned char>(byte);
      hex += kDigits[value >> 4U];
      hex += kDigits[value & 15U];
    }
    return object({{"hex", hex}});
  }
}

Json to_value(const core::CgroupOnRecord& cgroup) {
  return object({{"path", path_value(cgroup.path)}, {"inode", or_null(cgroup.inode)}});
}

Json to_value(const core::WorkdirOnRecord& workdir) {
  Json identity = nullptr;
  if (workdir.identity) {
    identity = object({{"device", workdir.identity->device},
                       {"inode", workdir.identity->inode},
                       {"birth_time_ns", workdir.identity->birth_time_ns},
                       {"owner", workdir.identity->owner}});
  }
  return object({{"path", path_value(workdir.path)}, {"keep", workdir.keep}, {"identity", std::move(identity)}});
}

Json leftovers_value(const std::vector<core::ProcessId>& leftovers) {
  Json list = Json::array();
  for (const core::ProcessId& id : leftovers) {
    if (list.size() < core::kLeftoversOnRecord) list.push_back(to_value(id));
  }
  return list;
}

Json remove_value(const std::vector<core::RemoveOnRecord>& paths) {
  Json list = Json::array();
  for (const core::RemoveOnRecord& each : paths) {
    list.push_back(object(
        {{"path", path_value(each.path)}, {"parent_device", each.parent_device}, {"parent_inode", each.parent_inode}}));
  }
  return list;
}

core::EncodedRecord encode(const core::RunRecord& record) {
  const bool starting = record.state == core::RecordState::starting;
  const std::size_t enclosing = std::min(record.enclosing.size(), core::kEnclosingOnRecord);
  Json main = record.main ? to_value(*record.main) : Json(nullptr);
  if (starting) main = kSlot;
  const Json json = object({
      {"schema_version", kRecordSchemaVersion},
      {"run_id", record.run_id},
      {"enclosing",
       std::vector(record.enclosing.begin(), record.enclosing.begin() + static_cast<std::ptrdiff_t>(enclosing))},
      {"name", record.name},
      {"argv", shortened_argv(record.argv)},
      {"uid", record.uid},
      {"boot_id", record.boot_id},
      {"pid_namespace", record.pid_namespace},
      {"mount_namespace", record.mount_namespace},
      {"guard", record.guard ? to_value(*record.guard) : Json(nullptr)},
      {"supervisor", to_value(record.supervisor)},
      {"state", name_of(record.state)},
      {"main", std::move(main)},
      {"leftovers", leftovers_value(record.leftovers)},
      {"stop_signal", record.stop_signal},
      {"cgroup", record.cgroup ? to_value(*record.cgroup) : Json(nullptr)},
      {"workdir", record.workdir ? to_value(*record.workdir) : Json(nullptr)},
      {"remove", remove_value(record.remove)},
      {"lock_name", or_null(record.lock_name)},
      {"ladder", core::ladder_text(record.ladder)},
      {"origin", record.origin ? origin_value(*record.origin, shortened_argv(record.origin->argv)) : Json(nullptr)},
      {"started_at", core::rfc3339(record.started_at)},
  });
  core::EncodedRecord encoded;
  encoded.text = one_line(json).append("\n");
  if (!starting) return encoded;
  // Found for certain and once: inside of a string the quotes would have backslashes.
  encoded.main_offset = encoded.text.find(kSlotBegin) + kSlotPrefix.size();
  encoded.main_size = kSlotBegin.size() - kSlotPrefix.size() + kSlot.size();  // with the closing quote
  constexpr std::string_view kNobody = R"("starting","main":null)";
  encoded.text.replace(encoded.main_offset, encoded.main_size,
                       std::string(kNobody).append(encoded.main_size - kNobody.size(), ' '));
  return encoded;
}

/// Writes into a span, and never past its end.
class SpanWriter {
 public:
  explicit SpanWriter(std::span<char> slot) : rest_(slot) {}
  SpanWriter& put(std::string_view text) {
    const std::size_t length = std::min(text.size(), rest_.size());
    std::memcpy(rest_.data(), text.data(), length);
    rest_ = rest_.subspan(length);
    return *this;
  }
  SpanWriter& put(std::uint64_t number) {
    const auto [end, error] = std::to_chars(rest_.data(), rest_.data() + rest_.size(), number);
    rest_ = rest_.subspan(static_cast<std::size_t>(end - rest_.data()));
    return *this;
  }
  void fill() { std::memset(rest_.data(), ' ', rest_.size()); }

 private:
  std::span<char> rest_;
};

void fill_main(std::span<char> slot, const core::MainOnRecord& main) {
  SpanWriter(slot)
      .put(R"("running","main":{"pid":)")
      .put(static_cast<std::uint64_t>(main.id.pid))
      .put(R"(,"start_ticks":)")
      .put(main.id.start_ticks)
      .put(R"(,"pgid":)")
      .put(static_cast<std::uint64_t>(main.pgid))
      .put(R"(,"sid":)")
      .put(static_cast<std::uint64_t>(main.sid))
      .put("}")
      .fill();
}

}  // namespace

const core::RecordCodec& record_codec() {
  static constexpr core::RecordCodec kCodec = {.encode = encode, .fill_main = fill_main, .decode = decode_record};
  return kCodec;
}

}  // namespace reapctl::report
