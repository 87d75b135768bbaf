#include "engine/cleanup.hpp"

#include "sys/result.hpp"

#include <utility>

namespace reapctl::engine {

bool Cleanup::keep(bool succeeded) const {
  switch (plan_.workdir.keep) {
    case core::KeepWorkdir::never: return false;
    case core::KeepWorkdir::on_failure: return !succeeded;
    case core::KeepWorkdir::always: return true;
  }
  return false;
}

int Cleanup::start(bool succeeded, core::TimePoint now) {
  kept_ = keep(succeeded);
  started_at_ = now;
  const bool deletes = workdir_ && !kept_;
  if (plan_.remove_paths.empty()) {
    // Most directories are empty at the end, and a thread costs more than rmdir. If the file system makes us wait here,
    // we would have waited for the thread as well: nothing is alive, and only --stop-timeout could end it.
    if (deletes && !plan_.rules.stop_timeout) {
      stats_ = remove_if_empty(workdir_->base.get(), workdir_->name, workdir_->directory.get(), workdir_->identity);
    }
    complete_ = !deletes || stats_;
    if (complete_) return -1;
  }
  RemovalOrder order{.paths = plan_.remove_paths, .parent = {}, .name = {}, .expected = {}};
  if (deletes) {
    workdir_->directory.reset();
    order.parent = std::move(workdir_->base);
    order.name = workdir_->name;
    order.expected = workdir_->identity;
  }
  auto job = RemovalJob::start(std::move(order));
  if (!job) {
    warnings_.push_back("nothing was deleted: cannot " + job.error().message());
    return -1;
  }
  job_.emplace(job.take());
  return job_->completion_fd();
}

void Cleanup::finish(bool abandon, core::TimePoint now) {
  if (!job_) return;
  const bool deletes = is_deleting();
  RemovalStats stats = abandon ? job_->abandon() : job_->take_result();
  duration_ = core::to_millis(now - started_at_);
  job_.reset();
  complete_ = stats.complete;
  for (const std::string& remark : stats.remarks) warnings_.push_back("--remove: " + remark);
  if (!complete_) {
    const std::string what = deletes ? "the working directory " + workdir_->path : std::string("the paths of --remove");
    warnings_.push_back(what + " could not be deleted " +
                        (abandon ? "before --stop-timeout ended the run" : "completely"));
  }
  if (deletes) stats_ = std::move(stats);
}

std::optional<core::WorkdirReport> Cleanup::report() const {
  if (!workdir_) return std::nullopt;
  core::WorkdirReport report;
  report.path = workdir_->path;
  report.kept = kept_;
  if (!stats_) return report;
  report.deleted = stats_->complete;
  report.files = stats_->counts.files;
  report.directories = stats_->counts.directories;
  report.bytes = stats_->counts.bytes;
  report.duration = duration_;
  report.threads = stats_->threads;
  report.errors = stats_->errors;
  report.errors_total = static_cast<int>(stats_->errors_total);
  return report;
}

}  // namespace reapctl::engine
