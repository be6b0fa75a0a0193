#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <thread>

#include "cli/options.hpp"
#include "prune_sweep/core/check.hpp"
#include "prune_sweep/sweep/journal.hpp"
#include "prune_sweep/sweep/run_dir.hpp"
#include "prune_sweep/sweep/slurm.hpp"

namespace prune_sweep {

namespace {

void print_status(const nlohmann::json& status) {
  if (status.at("state") == "submitted") {
    std::printf("submitted, not started yet\n");
    return;
  }
  std::printf(
      "%s: %ld of %ld records, %d of %d variants complete",
      status.at("state").get<std::string>().c_str(),
      status.at("num_records").get<int64_t>(),
      status.at("num_records_total").get<int64_t>(),
      status.at("num_variants_complete").get<int>(),
      status.at("num_variants").get<int>());
  const auto quarantined = status.at("num_quarantined").get<int64_t>();
  if (quarantined > 0) std::printf(", %ld questions in quarantine", quarantined);
  const auto left_s = status.at("time_left_s").get<double>();
  if (status.at("state") == "running" && left_s >= 0) std::printf(", %.0f s left", left_s);
  std::printf("\n");
  std::fflush(stdout);
}

/// The exit status of the last start; a run that has none yet can be resumed.
int exit_status(const RunDir& run) {
  if (!std::filesystem::exists(run.done())) return static_cast<int>(ExitStatus::kResumable);
  const std::string text = read_text_file(run.done());
  char* end = nullptr;
  const long status = std::strtol(text.c_str(), &end, 10);
  require(end != text.c_str(), run.done().string(), "does not hold an exit status");
  return static_cast<int>(status);
}

/// Whether a run goes on, or is to begin, as far as its files tell.
bool is_awaited(const nlohmann::json& status) {
  return status.at("state") == "running" || status.at("state") == "submitted";
}

/// What the run says of itself; that it is submitted, when it has not begun.
nlohmann::json own_status(const RunDir& run) {
  const bool has_begun = !run.journals().empty();
  if (!has_begun && !std::filesystem::exists(run.status())) return {{"state", "submitted"}};
  return nlohmann::json::parse(read_text_file(run.status()));
}

nlohmann::ordered_json queue_json(const std::string& job, const QueueAnswer& answer) {
  auto entries = nlohmann::ordered_json::array();
  for (const QueueEntry& entry : answer.entries) {
    entries.push_back(
        {{"job", entry.job},
         {"state", entry.state},
         {"reason", entry.reason},
         {"nodes", entry.nodes},
         {"start_s", entry.start_s},
         {"end_s", entry.end_s}});
  }
  return {{"job", job}, {"error", answer.error}, {"entries", std::move(entries)}};
}

/// The SLURM job that a run belongs to, asked about at most every half minute.
class QueueWatch {
 public:
  explicit QueueWatch(std::string job) : job_(std::move(job)) {}

  bool has_job() const { return !job_.empty(); }
  const std::string& job() const { return job_; }
  const QueueAnswer& answer() {
    const auto now = std::chrono::steady_clock::now();
    if (!answer_ || now - asked_ > std::chrono::seconds(30)) {
      answer_ = ask_queue(job_);
      asked_ = now;
    }
    return *answer_;
  }

 private:
  std::string job_;
  std::optional<QueueAnswer> answer_;
  std::chrono::steady_clock::time_point asked_;
};

void print_queue(QueueWatch& queue, const nlohmann::json& status) {
  const QueueAnswer& answer = queue.answer();
  std::printf("slurm job %s: %s\n", queue.job().c_str(), queue_text(answer).c_str());
  const bool is_gone = answer.error.empty() && answer.entries.empty();
  if (is_gone && is_awaited(status)) {
    std::printf("its job is gone, so nothing goes on here: submit it again to resume\n");
  }
  std::fflush(stdout);
}

/// Once, or with --watch until the run has ended.
void show_status(const RunDir& run, const CommandLine& line) {
  QueueWatch queue(noted_slurm_job(run));
  while (true) {
    nlohmann::json status = own_status(run);
    // What has ended well is of no interest to the queue.
    const bool asks_queue = queue.has_job() && status.at("state") != "complete";
    if (line.has("json")) {
      if (asks_queue) status["slurm"] = queue_json(queue.job(), queue.answer());
      std::printf("%s\n", status.dump(1).c_str());
    } else {
      print_status(status);
      if (asks_queue) print_queue(queue, status);
    }
    if (!line.has("watch") || !is_awaited(status)) return;
    std::this_thread::sleep_for(std::chrono::seconds(2));
  }
}

/// How many records the journals hold, whatever job they were made for.
int64_t num_committed(const RunDir& run) {
  int64_t count = 0;
  for (const auto& path : run.journals()) {
    for (const JournalEntry& entry : replay(read_text_file(path)).entries) {
      if (const auto* result = std::get_if<ResultEntry>(&entry)) {
        count += static_cast<int64_t>(result->records.size());
      }
    }
  }
  return count;
}

}  // namespace

int command_status(const CommandLine& line) {
  line.require_only({"json", "watch", "exit-code", "records"}, 1);
  if (line.positional.empty()) bad_input("status", "needs a run directory");
  const RunDir run(line.positional.front());
  if (line.has("records")) {
    std::printf("%ld\n", num_committed(run));
    return 0;
  }
  if (noted_slurm_job(run).empty()) run.require_run();
  try {
    show_status(run, line);
  } catch (const nlohmann::json::exception& error) {
    bad_input(run.status().string(), printable(error.what(), 200));
  }
  return line.has("exit-code") ? exit_status(run) : 0;
}

}  // namespace prune_sweep
