#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/job_inputs.hpp"
#include "cli/options.hpp"
#include "prune_sweep/inputs/inputs.hpp"

namespace prune_sweep {

namespace {

void print_json(const Plan& plan, const PlanCost& cost) {
  nlohmann::ordered_json json = nlohmann::ordered_json::parse(plan_to_json(plan));
  json["cost"] = {
      {"layer_passes", cost.layer_passes},
      {"layer_passes_alone", cost.layer_passes_alone},
      {"prompt_tokens", cost.prompt_tokens},
      {"shared_prompt_tokens", cost.shared_prompt_tokens},
      {"flops", cost.flops},
      {"flops_alone", cost.flops_alone}};
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
      "sharing layers: %.0f layer passes instead of %.0f; sharing prefixes: %ld prompt tokens a "
      "variant instead of %ld\n",
      cost.layer_passes,
      cost.layer_passes_alone,
      cost.shared_prompt_tokens,
      cost.prompt_tokens);
  std::printf(
      "estimated work: %.3g TFLOP instead of %.3g, %.1f x less\n",
      cost.flops / 1e12,
      cost.flops_alone / 1e12,
      cost.flops_alone / cost.flops);
}

}  // namespace

int command_plan(const CommandLine& line) {
  line.require_only({"json", "shard"}, 1);
  const Inputs inputs = read_job_inputs(line).inputs;
  const Plan plan = plan_of(inputs, WeightsCheck::kNone);
  const PlanCost cost = plan_cost(plan);
  line.has("json") ? print_json(plan, cost) : print_text(plan, cost);
  return 0;
}

}  // namespace prune_sweep
