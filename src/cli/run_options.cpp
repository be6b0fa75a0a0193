#include "cli/run_options.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <functional>
#include <optional>

#include "cli/git_commit.hpp"
#include "prune_sweep/core/check.hpp"
#include "prune_sweep/sweep/slurm.hpp"

namespace prune_sweep {

namespace {

constexpr double kTimeToPack_s = 30;

/// Options that are a number of seconds, and what they set.
struct SecondsRow {
  const char* name;
  double& (*limit)(RunLimits& limits);
};
constexpr std::array kSeconds{
    SecondsRow{"grace", [](RunLimits& l) -> double& { return l.grace_s; }},
    SecondsRow{"disk-patience", [](RunLimits& l) -> double& { return l.disk_s; }},
    SecondsRow{
        "evaluator-patience", [](RunLimits& l) -> double& { return l.patience.evaluator_s; }},
    SecondsRow{"rank-patience", [](RunLimits& l) -> double& { return l.patience.rank_s; }},
};

/// `SECONDS` or `HH:MM:SS`, of which the leading parts may be left out.
double seconds_of(const std::string& name, const std::string& text) {
  double seconds = 0;
  const char* rest = text.c_str();
  while (true) {
    char* end = nullptr;
    const double part = std::strtod(rest, &end);
    const bool is_number = end != rest && part >= 0 && part < 1e9;
    if (!is_number || (*end != '\0' && *end != ':')) {
      bad_input("--" + name + "=" + printable(text), "is not a time", "Write SECONDS or HH:MM:SS.");
    }
    seconds = 60 * seconds + part;
    if (*end == '\0') return seconds;
    rest = end + 1;
  }
}

/// The option's value, if it is given.
std::optional<int32_t> number_of(
    const CommandLine& line, const std::string& name, int32_t least, int32_t most) {
  const auto flag = line.flags.find(name);
  if (flag == line.flags.end()) return std::nullopt;
  const std::string& text = flag->second;
  int32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool is_number = error == std::errc{} && end == text.data() + text.size();
  if (!is_number || number < least || number > most) {
    bad_input(
        "--" + name + "=" + printable(text),
        "must be a number in [" + std::to_string(least) + ", " + std::to_string(most) + "]");
  }
  return number;
}

}  // namespace

const char* program_build() { return PRUNE_SWEEP_VERSION " (" PRUNE_SWEEP_GIT_COMMIT ")"; }

std::vector<std::string> run_options() {
  std::vector<std::string> names{
      "deadline",
      "retry-failed",
      "no-gates",
      "shard",
      "allow-gpu-sharing",
      "naive",
      "row-block",
      "groups"};
  for (const SavingOption& option : kSavingOptions) names.emplace_back(option.name);
  for (const SecondsRow& row : kSeconds) names.emplace_back(row.name);
  return names;
}

Savings savings_of(const CommandLine& line) {
  Savings savings;
  for (const SavingOption& option : kSavingOptions) {
    if (line.has("naive") || line.has(std::string(option.name))) savings.*option.member = Use::kOff;
  }
  savings.row_block = number_of(line, "row-block", 16, 1'000'000).value_or(savings.row_block);
  return savings;
}

int32_t num_groups_of(const CommandLine& line) {
  return number_of(line, "groups", 1, 10'000).value_or(0);
}

RunLimits run_limits(const CommandLine& line, double started_s) {
  RunLimits limits;
  for (const SecondsRow& row : kSeconds) {
    const auto flag = line.flags.find(row.name);
    if (flag != line.flags.end()) row.limit(limits) = seconds_of(row.name, flag->second);
  }
  double span_s = 0;
  const auto deadline = line.flags.find("deadline");
  if (deadline != line.flags.end()) span_s = seconds_of("deadline", deadline->second);
  if (const auto end_s = allocation_end_s(); end_s && *end_s > started_s) {
    const double slurm_s = *end_s - started_s;
    span_s = span_s > 0 ? std::min(span_s, slurm_s) : slurm_s;
  }
  if (span_s > 0) limits.deadline_s = started_s + span_s - std::min(kTimeToPack_s, 0.1 * span_s);
  return limits;
}

}  // namespace prune_sweep
