#include "cli/run_options.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <functional>

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

}  // namespace

const char* program_build() { return PRUNE_SWEEP_VERSION " (" PRUNE_SWEEP_GIT_COMMIT ")"; }

std::vector<std::string> run_options() {
  std::vector<std::string> names{
      "deadline", "retry-failed", "no-gates", "shard", "allow-gpu-sharing"};
  for (const SecondsRow& row : kSeconds) names.emplace_back(row.name);
  return names;
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
