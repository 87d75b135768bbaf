#include "engine/cleanup.hpp"

#include "sys/result.hpp"
#include "sys/unix_socket.hpp"

#include <cerrno>
#include <fcntl.h>
#include <unistd.h>
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
  remove_paths();
  kept_ = keep(succeeded);
  if (!workdir_ || kept_) return -1;
  started_at_ = now;
  // Most directories are empty at the end, and a thread costs more than rmdir. If the file system makes us wait here,
  // we would have waited for the thread as well: nothing is alive, and only --stop-timeout could end it.
  if (!plan_.rules.stop_timeout) {
    stats_ = remove_if_empty(workdir_->base.get(), workdir_->name, workdir_->directory.get(), workdir_->identity);
    if (stats_) return -1;
  }
  workdir_->directory.reset();
  auto job = RemovalJob::start(std::move(workdir_->base), workdir_->name, workdir_->identity);
  if (!job) {
    warnings_.push_back("the working directory stays: cannot " + job.error().message());
    return -1;
  }
  job_.emplace(job.take());
  return job_->completion_fd();
}

void Cleanup::finish(bool abandon, core::TimePoint now) {
  if (!job_) return;
  stats_ = abandon ? job_->abandon() : job_->take_result();
  duration_ = std::chrono::duration_cast<core::Millis>(now - started_at_);
  job_.reset();
  if (!stats_->complete) {
    warnings_.push_back("the working directory " + workdir_->path + " could not be deleted " +
                        (abandon ? "before --stop-timeout ended the run" : "completely"));
  }
}

void Cleanup::remove_paths() {
  for (const std::string& path : plan_.remove_paths) {
    // Nobody of this run is alive: who has bound it is the one who came after.
    if (sys::is_bound_socket(AT_FDCWD, path.c_str())) {
      warnings_.push_back("--remove: " + path + " is a socket in use: left alone");
      continue;
    }
    if (::unlink(path.c_str()) == 0 || errno == ENOENT) continue;
    warnings_.push_back("--remove: cannot " + sys::last_error("unlink", path).message());
  }
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
