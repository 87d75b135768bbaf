#pragma once

#include "engine/held_output.hpp"
#include "engine/outgoing.hpp"
#include "engine/output.hpp"
#include "engine/shared_page.hpp"
#include "sys/result.hpp"

#include <string>
#include <string_view>

namespace reapctl::engine {

/// All that a run says at its end, in one order: the report, then on stderr a summary and around it what was held back.
/// With `shared` the other process can go on with it at any instant: everything is said before the first byte goes out.
class Delivery {
 public:
  /// `held` is null without --quiet-on-success, `shared` without another process.
  Delivery(const ReportOutput& output, const HeldOutput* held, SharedReport* shared);

  /// Takes the texts, each without its last line feed; what is empty is not sent. Without a summary nothing of what is
  /// held is shown.
  void set(std::string_view report, std::string_view summary);

  /// The report goes to stderr instead, as `report` now.
  void divert(std::string_view report);
  [[nodiscard]] bool is_diverted() const;

  /// The text that was set last.
  [[nodiscard]] std::string_view report() const;

  /// Sends of the report what was not sent yet. Errors: as for ReportOutput::send.
  [[nodiscard]] sys::Result<void> send_report(const GiveUp& give_up);

  /// The same for everything behind the report. If one of standard output and standard error cannot be written to, the
  /// other gets its part all the same.
  void send_rest(const GiveUp& give_up);

 private:
  void add(const std::string& text, DeliveryParts parts);
  [[nodiscard]] DeliveryState& state() { return shared_ != nullptr ? shared_->state : own_; }
  [[nodiscard]] const DeliveryState& state() const { return shared_ != nullptr ? shared_->state : own_; }
  [[nodiscard]] const DeliveryParts& parts() const;
  [[nodiscard]] std::string_view stretch(std::size_t begin, std::size_t end) const;
  [[nodiscard]] Outgoing text(std::size_t from);

  const ReportOutput& output_;
  const HeldOutput* held_;
  SharedReport* shared_;
  DeliveryState own_{};  ///< with `own_text_`, where there is nothing shared, or too little room in it
  std::string own_text_;
};

}  // namespace reapctl::engine
