#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "cli/job_inputs.hpp"
#include "cli/options.hpp"
#include "cli/run_options.hpp"
#include "prune_sweep/core/cores.hpp"
#include "prune_sweep/inputs/inputs.hpp"
#include "prune_sweep/sweep/child_process.hpp"
#include "prune_sweep/sweep/command_output.hpp"

namespace prune_sweep {

namespace {

/// Of the rate of matrix products, what a whole evaluation reaches (tests/performance).
constexpr double kEngineShare = 0.7;
/// Measuring takes half a second, loading libtorch as long again.
constexpr double kMeasuring_s = 20;

std::string duration_text(double seconds) {
  std::array<char, 32> text{};
  const auto [amount, unit] = seconds < 120    ? std::pair(seconds, "s")
                              : seconds < 7200 ? std::pair(seconds / 60, "min")
                                               : std::pair(seconds / 3600, "h");
  std::snprintf(text.data(), text.size(), "%.3g %s", amount, unit);
  return text.data();
}

/// What an evaluator would reach here with the job's model; nothing where that cannot be measured.
std::optional<double> expected_flops_per_s(const Inputs& inputs, const Plan& plan) {
  if (plan.context.device != "cpu") return std::nullopt;
  const CommandOutput measured = run_command(
      {sibling_program("prune-sweep-evaluator").string(),
       "rate",
       std::string(name(inputs.job.model.dtype)),
       std::to_string(inputs.config.hidden),
       std::to_string(inputs.config.intermediate)},
      kMeasuring_s);
  if (measured.exit_status != 0) return std::nullopt;
  const double flops_per_s = kEngineShare * std::strtod(measured.text.c_str(), nullptr);
  return flops_per_s > 0 ? std::optional(flops_per_s) : std::nullopt;
}

void print_json(const Plan& plan, const PlanCost& cost, std::optional<double> flops_per_s) {
  nlohmann::ordered_json json = nlohmann::ordered_json::parse(plan_to_json(plan));
  json["cost"] = {
      {"layer_passes", cost.layer_passes},
      {"layer_passes_alone", cost.layer_passes_alone},
      {"prompt_tokens", cost.prompt_tokens},
      {"shared_prompt_tokens", cost.shared_prompt_tokens},
      {"flops", cost.flops},
      {"flops_alone", cost.flops_alone}};
  if (flops_per_s) {
    json["estimate"] = {
        {"flops_per_s", *flops_per_s},
        {"elapsed_s", cost.flops / *flops_per_s},
        {"elapsed_alone_s", cost.flops_alone / *flops_per_s}};
  }
  std::printf("%s\n", json.dump(1).c_str());
}

void print_text(const Plan& plan, const PlanCost& cost) {
  std::printf("%zu variants\n", plan.variants.size());
  for (const Variant& variant : plan.variants) {
    std::printf("  %-14s  %s\n", variant.name.c_str(), edits_text(variant.edits).c_str());
  }
  for (const BenchmarkPlan& benchmark : plan.benchmarks) {
    int64_t tokens = 0;
    for (const QuestionInfo& question : benchmark.questions) tokens += question.prompt_tokens;
    std::printf(
        "%s: %zu questions, %d-shot, %ld prompt tokens\n",
        benchmark.name.c_str(),
        benchmark.questions.size(),
        benchmark.shots,
        tokens);
  }
  std::printf("%ld records in %zu units\n", plan.num_records(), plan.units.size());
  std::printf(
      "%.0f layer passes instead of %.0f; prefix sharing saves %.1f x (%ld prompt tokens a variant "
      "instead of %ld)\n",
      cost.layer_passes,
      cost.layer_passes_alone,
      static_cast<double>(cost.prompt_tokens) /
          static_cast<double>(std::max<int64_t>(1, cost.shared_prompt_tokens)),
      cost.shared_prompt_tokens,
      cost.prompt_tokens);
  std::printf(
      "work: %.3g TFLOP instead of %.3g, %.1f x less\n",
      cost.flops / 1e12,
      cost.flops_alone / 1e12,
      cost.flops_alone / cost.flops);
}

void print_estimate(const PlanCost& cost, std::optional<double> flops_per_s) {
  const CoreCount cores = count_cores();
  if (flops_per_s) {
    std::printf(
        "estimated %s instead of %s on the %d core%s here, at %.0f GFLOP/s: %.0f %% of what matrix "
        "products reach\n",
        duration_text(cost.flops / *flops_per_s).c_str(),
        duration_text(cost.flops_alone / *flops_per_s).c_str(),
        cores.usable,
        cores.usable == 1 ? "" : "s",
        *flops_per_s / 1e9,
        100 * kEngineShare);
  }
  if (cores.bound < cores.usable) {
    std::printf(
        "note: a launcher binds this process to %d of %d cores; evaluators use all of them "
        "(mpirun --bind-to none says so)\n",
        cores.bound,
        cores.usable);
  }
}

}  // namespace

int command_plan(const CommandLine& line) {
  line.require_only({"json", "shard", "groups"}, 1);
  const Inputs inputs = read_job_inputs(line, WeightsCheck::kNone).inputs;
  const Plan plan = plan_of(inputs, num_groups_of(line));
  const PlanCost cost = plan_cost(plan);
  const std::optional<double> flops_per_s = expected_flops_per_s(inputs, plan);
  if (line.has("json")) {
    print_json(plan, cost, flops_per_s);
  } else {
    print_text(plan, cost);
    print_estimate(cost, flops_per_s);
  }
  return 0;
}

}  // namespace prune_sweep
