#include "prune_sweep/sweep/reporter.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "prune_sweep/benchmarks/yardsticks.hpp"
#include "prune_sweep/core/signs.hpp"

namespace prune_sweep {

namespace {

template <typename... Args>
std::string format(const char* pattern, Args... args) {
  std::array<char, 512> text{};
  std::snprintf(text.data(), text.size(), pattern, args...);
  return text.data();
}

std::string clock_text(double seconds) {
  const auto whole = static_cast<int64_t>(seconds + 0.5);
  if (whole < 3600) return format("%ld:%02ld", whole / 60, whole % 60);
  return format("%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60);
}

std::string accuracy_text(const RecordTable& records, int32_t benchmark, int32_t variant) {
  const auto accuracy = records.accuracy(benchmark, variant);
  return accuracy ? format("%.3f", *accuracy) : "-";
}

/// `  mmlu: one-choice`; empty for none.
std::string signs_text(const Plan& plan, const RecordTable& records, int32_t variant) {
  std::string text;
  for (int32_t benchmark = 0; benchmark < std::ssize(plan.benchmarks); ++benchmark) {
    const BenchmarkPlan& asked = plan.benchmarks[static_cast<size_t>(benchmark)];
    const std::string names =
        sign_names(find_signs(asked, answer_shares(plan, records, benchmark, variant), plan.gates));
    if (!names.empty()) text += "  " + asked.name + ": " + names;
  }
  return text;
}

/// What a known model's baseline is expected to score, a line for each benchmark.
std::string yardsticks_text(const Plan& plan, const RecordTable& records) {
  std::string text;
  for (int32_t benchmark = 0; benchmark < std::ssize(plan.benchmarks); ++benchmark) {
    const BenchmarkPlan& asked = plan.benchmarks[static_cast<size_t>(benchmark)];
    const std::string& name = asked.name;
    const auto yardstick = find_yardstick(plan.context.model_sha256, asked);
    if (!yardstick) continue;
    text += format(
        "%s of the baseline: %s; %s is expected between %.2f and %.2f (%s)\n",
        name.c_str(),
        accuracy_text(records, benchmark, 0).c_str(),
        std::string(yardstick->model).c_str(),
        yardstick->low,
        yardstick->high,
        std::string(yardstick->source).c_str());
  }
  return text;
}

double records_per_s(const RunStatus& status) {
  const double elapsed = status.now_s - status.started_s;
  const auto done = static_cast<double>(status.num_records - status.num_records_at_start);
  return elapsed > 0 ? done / elapsed : 0;
}

double variant_tokens_per_s(const RunStatus& status) {
  const double elapsed = status.now_s - status.started_s;
  return elapsed > 0 ? static_cast<double>(status.variant_tokens) / elapsed : 0;
}

}  // namespace

double time_left_s(const RunStatus& status) {
  if (status.share_done <= 0) return -1;
  return (status.now_s - status.started_s) * (1 - status.share_done) / status.share_done;
}

std::string status_json(const RunStatus& status) {
  const nlohmann::ordered_json json{
      {"run_id", status.run_id},
      {"state", status.state},
      {"reason", status.reason},
      {"num_ranks", status.num_ranks},
      {"num_records", status.num_records},
      {"num_records_total", status.num_records_total},
      {"num_variants", status.num_variants},
      {"num_variants_complete", status.num_variants_complete},
      {"num_quarantined", status.num_quarantined},
      {"started_s", status.started_s},
      {"updated_s", status.now_s},
      {"start_to_first_result_s",
       status.first_result_s > 0 ? status.first_result_s - status.started_s : -1},
      {"records_per_s", records_per_s(status)},
      {"variant_tokens_per_s", variant_tokens_per_s(status)},
      {"time_left_s", time_left_s(status)}};
  return json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::string progress_line(const RunStatus& status) {
  const double left_s = time_left_s(status);
  return format(
             "%3.0f %%  %ld/%ld records  %.0f/s  %.0f variant-tokens/s  ",
             100.0 * static_cast<double>(status.num_records) /
                 static_cast<double>(std::max<int64_t>(status.num_records_total, 1)),
             status.num_records,
             status.num_records_total,
             records_per_s(status),
             variant_tokens_per_s(status)) +
         (left_s < 0 ? std::string("starting") : clock_text(left_s) + " left");
}

std::string variant_line(
    const Plan& plan, const RecordTable& records, int32_t variant, const RunStatus& status) {
  std::string line = format(
      "[%d/%d] %-14s",
      status.num_variants_complete,
      status.num_variants,
      plan.variants[static_cast<size_t>(variant)].name.c_str());
  for (size_t benchmark = 0; benchmark < plan.benchmarks.size(); ++benchmark) {
    line += "  " + plan.benchmarks[benchmark].name + " " +
            accuracy_text(records, static_cast<int32_t>(benchmark), variant);
  }
  return line + format("  %.0f s", status.now_s - status.started_s);
}

std::string results_table(const Plan& plan, const RecordTable& records) {
  size_t width = 8;
  for (const Variant& variant : plan.variants) width = std::max(width, variant.name.size());
  std::string table = format("%-*s", static_cast<int>(width), "variant");
  for (const BenchmarkPlan& benchmark : plan.benchmarks) {
    table += format("  %8s", benchmark.name.c_str());
  }
  table += "\n";
  for (size_t variant = 0; variant < plan.variants.size(); ++variant) {
    table += format("%-*s", static_cast<int>(width), plan.variants[variant].name.c_str());
    for (size_t benchmark = 0; benchmark < plan.benchmarks.size(); ++benchmark) {
      table += format(
          "  %8s",
          accuracy_text(records, static_cast<int32_t>(benchmark), static_cast<int32_t>(variant))
              .c_str());
    }
    table += records.is_complete(static_cast<int32_t>(variant)) ? "" : "  incomplete";
    table += signs_text(plan, records, static_cast<int32_t>(variant)) + "\n";
  }
  return table + yardsticks_text(plan, records);
}

bool is_under_launcher() { return std::getenv("OMPI_COMM_WORLD_SIZE") != nullptr; }

bool output_is_terminal() {
  if (!is_under_launcher()) return ::isatty(STDOUT_FILENO) == 1;
  std::error_code error;
  const std::string launcher_output =
      std::filesystem::read_symlink("/proc/" + std::to_string(::getppid()) + "/fd/1", error)
          .string();
  return !error &&
         (launcher_output.starts_with("/dev/pts/") || launcher_output.starts_with("/dev/tty"));
}

}  // namespace prune_sweep
