#include "prune_sweep/sweep/slurm.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <ctime>
#include <nlohmann/json.hpp>

#include "prune_sweep/core/check.hpp"
#include "prune_sweep/sweep/command_output.hpp"

namespace prune_sweep {

namespace {

/// A controller that is restarting answers after some seconds; who waits longer has no use for it.
constexpr double kQueuePatience_s = 20;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

std::string_view take_until(std::string_view& text, char separator) {
  const size_t end = std::min(text.find(separator), text.size());
  const std::string_view front = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return front;
}

std::string local_time_text(double seconds) {
  const auto whole = static_cast<time_t>(seconds);
  tm parts{};
  std::array<char, 32> text{};
  ::localtime_r(&whole, &parts);
  std::strftime(text.data(), text.size(), "%F %H:%M", &parts);
  return text.data();
}

std::string entry_text(const QueueEntry& entry) {
  std::string text = entry.state;
  if (!entry.reason.empty() && entry.reason != "None") text += " (" + entry.reason + ")";
  if (!entry.nodes.empty()) text += " on " + entry.nodes;
  if (entry.nodes.empty() && entry.start_s > 0) {
    text += ", expected to start " + local_time_text(entry.start_s);
  } else if (!entry.nodes.empty() && entry.end_s > 0) {
    text += " until " + local_time_text(entry.end_s);
  }
  return text;
}

}  // namespace

std::optional<double> parse_slurm_time(std::string_view text) {
  const std::string copy(text);
  tm parts{};
  const char* end = ::strptime(copy.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (end == nullptr || *end != '\0') return std::nullopt;
  parts.tm_isdst = -1;
  const time_t seconds = ::mktime(&parts);
  if (seconds <= 0) return std::nullopt;
  return static_cast<double>(seconds);
}

std::vector<QueueEntry> parse_queue(std::string_view text) {
  std::vector<QueueEntry> entries;
  while (!text.empty()) {
    std::string_view line = take_until(text, '\n');
    if (std::count(line.begin(), line.end(), '|') != 5) continue;
    QueueEntry entry;
    for (std::string* field : {&entry.job, &entry.state, &entry.reason, &entry.nodes}) {
      *field = take_until(line, '|');
    }
    entry.start_s = parse_slurm_time(take_until(line, '|')).value_or(0);
    entry.end_s = parse_slurm_time(line).value_or(0);
    entries.push_back(std::move(entry));
  }
  return entries;
}

QueueAnswer ask_queue(const std::string& job) {
  const CommandOutput output =
      run_command({"squeue", "-h", "-j", job, "-o", std::string(kQueueFormat)}, kQueuePatience_s);
  QueueAnswer answer{parse_queue(output.text), ""};
  // A job that SLURM has forgotten is no failure of squeue.
  const bool is_forgotten = output.errors.find("Invalid job id") != std::string::npos;
  if (output.exit_status != 0 && !is_forgotten) answer.error = output.errors;
  return answer;
}

std::string queue_text(const QueueAnswer& answer) {
  if (!answer.error.empty()) return "cannot be asked: " + answer.error;
  if (answer.entries.empty()) return "not in the queue any more";
  if (answer.entries.size() == 1) return entry_text(answer.entries.front());
  std::string text;
  for (const QueueEntry& entry : answer.entries) {
    text += (text.empty() ? "" : "; ") + entry.job + " " + entry_text(entry);
  }
  return text;
}

std::optional<double> allocation_end_s(
    const std::function<QueueAnswer(const std::string& job)>& ask) {
  const std::string end_text = variable("SLURM_JOB_END_TIME");
  double end_s = 0;
  const auto [rest, error] =
      std::from_chars(end_text.data(), end_text.data() + end_text.size(), end_s);
  if (error == std::errc{} && rest == end_text.data() + end_text.size() && end_s > 0) return end_s;
  // The number alone, not that within an array, is what squeue knows in every case.
  const std::string job = variable("SLURM_JOB_ID");
  if (job.empty()) return std::nullopt;
  const QueueAnswer answer = ask(job);
  if (answer.entries.size() != 1 || answer.entries.front().end_s <= 0) return std::nullopt;
  return answer.entries.front().end_s;
}

std::string own_slurm_job() {
  const std::string array = variable("SLURM_ARRAY_JOB_ID");
  const std::string task = variable("SLURM_ARRAY_TASK_ID");
  if (!array.empty() && !task.empty()) return array + "_" + task;
  return variable("SLURM_JOB_ID");
}

void note_slurm_job(const RunDir& run, const std::string& job) {
  const nlohmann::ordered_json json{
      {"job", job}, {"noted_s", static_cast<int64_t>(std::time(nullptr))}};
  write_file_atomically(
      run.slurm(), json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

std::string noted_slurm_job(const RunDir& run) {
  std::error_code ignored;
  if (!std::filesystem::exists(run.slurm(), ignored)) return "";
  const auto json = nlohmann::json::parse(read_text_file(run.slurm()), nullptr, false);
  if (!json.is_object() || !json.contains("job") || !json["job"].is_string()) return "";
  const std::string job = json["job"];
  // It becomes an argument of squeue.
  const bool is_number = !job.empty() && job.find_first_not_of("0123456789_") == std::string::npos;
  return is_number ? job : "";
}

}  // namespace prune_sweep
