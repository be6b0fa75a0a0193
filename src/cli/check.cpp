#include <cstdio>

#include "cli/job_inputs.hpp"
#include "cli/options.hpp"
#include "prune_sweep/core/digest.hpp"
#include "prune_sweep/inputs/inputs.hpp"
#include "prune_sweep/model/checkpoint.hpp"
#include "prune_sweep/sweep/devices.hpp"
#include "prune_sweep/sweep/run_dir.hpp"

namespace prune_sweep {

namespace {

/// The device that evaluators would use, and what GPUs there are or why there are none.
void print_devices(const PlanContext& context) {
  const DeviceList list = list_devices();
  std::printf(
      "device     %s%s\n",
      context.device.c_str(),
      list.devices.empty() ? (": " + list.why_none).c_str() : "");
  for (const Device& device : list.devices) {
    std::printf("           %s", device.name.c_str());
    if (device.memory_bytes > 0) {
      std::printf(", %.1f GiB", static_cast<double>(device.memory_bytes) / (1 << 30));
    }
    if (!device.driver.empty()) std::printf(", driver %s", device.driver.c_str());
    if (device.capability > 0) {
      std::printf(", compute capability %.1f: %s", device.capability, dtypes_of(device).c_str());
    }
    std::printf("\n");
    const bool is_slow = context.device == "cuda" && context.dtype == DType::kBfloat16 &&
                         device.capability > 0 && device.capability < kBfloat16Capability;
    if (is_slow) std::printf("           dtype = float16 is the faster one there\n");
  }
}

}  // namespace

int command_check(const CommandLine& line) {
  line.require_only({"digest", "shard"}, 1);
  const bool wants_digest = line.has("digest");
  RunDir(output_dir_of(line)).require_usable();
  const Inputs inputs = read_job_inputs(line, WeightsCheck::kFinite).inputs;
  const Plan plan = plan_of(inputs);
  std::printf(
      "model      %s: %s, %d layers, %ld parameters, weights finite\n",
      inputs.job.model.path.c_str(),
      inputs.config.architecture.c_str(),
      inputs.config.num_layers,
      plan.shape.num_parameters);
  if (wants_digest) {
    const Checkpoint checkpoint = Checkpoint::open(inputs.job.model.path, inputs.config);
    for (const auto& file : checkpoint.files()) {
      std::printf("           sha256 %s  %s\n", sha256_file(file).c_str(), file.filename().c_str());
    }
  }
  std::printf("tokenizer  sha256 %s\n", inputs.tokenizer.sha256().c_str());
  for (const BenchmarkPlan& benchmark : plan.benchmarks) {
    std::printf(
        "%-9s  %zu questions, %d-shot\n",
        benchmark.name.c_str(),
        benchmark.questions.size(),
        benchmark.shots);
  }
  print_devices(plan.context);
  std::printf("output     %s\n", inputs.job.output_dir.c_str());
  std::printf(
      "%zu variants, %ld records: ready to run\n", plan.variants.size(), plan.num_records());
  return 0;
}

}  // namespace prune_sweep
