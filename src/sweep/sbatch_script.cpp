#include "prune_sweep/sweep/sbatch_script.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include "prune_sweep/core/check.hpp"
#include "sweep/sbatch_text.hpp"

namespace prune_sweep {

namespace {

/// From here on the script in slurm/ is the same for every job.
constexpr std::string_view kBody = "# --- the same in every script";
/// What is leased gets a minute to finish and the archive its time, but not half of the allocation.
constexpr int32_t kSignalBefore_s = 300;
constexpr int32_t kMaxNumber = 1'000'000;

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

/// A word of SLURM: names, lists, sizes, constraints such as `a100&nvlink`.
void require_word(const std::string& text, std::string_view option) {
  constexpr std::string_view kAllowed = "_-.,:@+/=*&|[]()";
  const bool is_word = std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           kAllowed.find(c) != std::string_view::npos;
  });
  if (is_word && !text.starts_with("-")) return;
  bad_input(
      "--" + std::string(option) + "=" + printable(text), "is not a word that SLURM would take");
}

void require_positive(int32_t number, std::string_view option, int32_t least = 1) {
  if (number >= least && number <= kMaxNumber) return;
  bad_input(
      "--" + std::string(option) + "=" + std::to_string(number),
      "must be in [" + std::to_string(least) + ", " + std::to_string(kMaxNumber) + "]");
}

/// A file name in an #SBATCH line: quotes keep it one word, %% is a percent sign there.
std::string sbatch_path(const std::filesystem::path& path, std::string_view pattern) {
  std::string text = "\"";
  for (const char c : path.string()) {
    // To SLURM a backslash in a file name says that nothing in it is a pattern.
    if (is_control(c) || c == '\\' || c == '"') {
      bad_input(
          printable(path.string(), 200) + ": output.dir",
          "sbatch takes no control character, backslash or double quote in a name",
          "Name another folder.");
    }
    text += c == '%' ? "%%" : std::string(1, c);
  }
  return text + "/" + std::string(pattern) + "\"";
}

std::optional<int64_t> number(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < 0 || value > kMaxNumber) {
    return std::nullopt;
  }
  return value;
}

/// The numbers between colons; empty when there is anything else.
std::vector<int64_t> numbers(std::string_view text) {
  std::vector<int64_t> values;
  while (true) {
    const size_t end = std::min(text.find(':'), text.size());
    const auto value = number(text.substr(0, end));
    if (!value) return {};
    values.push_back(*value);
    if (end == text.size()) return values;
    text.remove_prefix(end + 1);
  }
}

std::string body() {
  const std::string_view text = kSbatchText;
  const size_t begin = text.find(kBody);
  if (begin == std::string_view::npos) {
    throw Error(ExitStatus::kInternal, "slurm/prune-sweep.sbatch", "has lost its marked line");
  }
  return std::string(text.substr(begin));
}

}  // namespace

std::string shell_quoted(std::string_view text, std::string_view what) {
  std::string quoted = "'";
  for (const char c : text) {
    if (is_control(c)) {
      bad_input(
          std::string(what) + ": " + printable(text, 200), "a control character is in its name");
    }
    quoted += c == '\'' ? "'\\''" : std::string(1, c);
  }
  return quoted + "'";
}

double time_limit_s(std::string_view text) {
  const size_t dash = text.find('-');
  const bool has_days = dash != std::string_view::npos;
  const auto days = has_days ? number(text.substr(0, dash)) : std::optional<int64_t>(0);
  std::vector<int64_t> parts = numbers(has_days ? text.substr(dash + 1) : text);
  if (!days || parts.empty() || parts.size() > 3) parts.clear();
  if (!parts.empty()) {
    // After days the first number is hours; without, one or two numbers begin with minutes.
    if (!has_days && parts.size() < 3) parts.insert(parts.begin(), 0);
    parts.resize(3, 0);
    const double seconds = 86400.0 * static_cast<double>(*days) +
                           3600.0 * static_cast<double>(parts[0]) +
                           60.0 * static_cast<double>(parts[1]) + static_cast<double>(parts[2]);
    if (seconds >= 60) return seconds;
  }
  bad_input(
      "--time=" + printable(text),
      "is no time limit of a minute or more",
      "Write HH:MM:SS, D-HH:MM:SS or minutes.");
}

std::string sbatch_script(const BatchJob& job) {
  const Allocation& asked = job.allocation;
  const double limit_s = time_limit_s(asked.time);
  const auto signal_s = static_cast<int32_t>(std::min<double>(kSignalBefore_s, limit_s / 3));
  require_positive(asked.num_nodes, "nodes");
  require_positive(asked.ranks_per_node, "ranks-per-node");
  require_positive(asked.cores_per_rank, "cpus-per-rank");
  require_positive(asked.gpus_per_node, "gpus-per-node", 0);
  require_positive(asked.num_shards, "shards");
  require_positive(job.max_requeues, "max-requeues", 0);

  std::string text = "#!/bin/bash\n# Written by prune-sweep submit; sbatch takes it again as it is.\n";
  const auto line = [&text](std::string_view option, const std::string& value) {
    text += "#SBATCH --" + std::string(option) + (value.empty() ? "" : "=" + value) + "\n";
  };
  line("job-name", "prune-sweep");
  line("nodes", std::to_string(asked.num_nodes));
  line("ntasks-per-node", std::to_string(asked.ranks_per_node));
  line("cpus-per-task", std::to_string(asked.cores_per_rank));
  // Of the node, not of a task: each rank finds its own device.
  if (asked.gpus_per_node > 0) line("gpus-per-node", std::to_string(asked.gpus_per_node));
  line("time", asked.time);
  const std::array<std::pair<const char*, const std::string*>, 5> words{{
      {"mem", &asked.memory},
      {"partition", &asked.partition},
      {"account", &asked.account},
      {"qos", &asked.qos},
      {"constraint", &asked.constraint},
  }};
  for (const auto& [option, value] : words) {
    require_word(*value, option);
    if (!value->empty()) line(option, *value);
  }
  const bool is_array = asked.num_shards > 1;
  if (is_array) line("array", "1-" + std::to_string(asked.num_shards));
  line("signal", "B:USR2@" + std::to_string(signal_s));
  line("requeue", "");
  line("no-kill", "");
  line("open-mode", "append");
  line("output", sbatch_path(job.log_dir, is_array ? "slurm-%A_%a.log" : "slurm-%j.log"));
  text += "\nPRUNE_SWEEP=" + shell_quoted(job.program.string(), "program") + "\n";
  text += "PRUNE_SWEEP_LAUNCHER=" + shell_quoted(job.launcher, "--launcher") + "\n";
  text += "PRUNE_SWEEP_MAX_REQUEUES=" + std::to_string(job.max_requeues) + "\n";
  text += "set --";
  for (const std::string& argument : job.arguments) text += " " + shell_quoted(argument, "job");
  return text + "\n\n" + body();
}

}  // namespace prune_sweep
