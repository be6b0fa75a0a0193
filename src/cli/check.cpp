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
  for (size_t i = 0; i < list.devices.size(); ++i) {
    const Device& device = list.devices[i];
    const std::string dtypes = dtypes_of(device);
    std::printf(
        "           %zu  %s, %.1f GiB, driver %s, compute capability %.1f%s\n",
        i,
        device.name.c_str(),
        static_cast<double>(device.memory_bytes) / (1 << 30),
        device.driver.c_str(),
        device.capability,
        dtypes.empty() ? "" : (": " + dtypes).c_str());
    const bool is_slow = context.device == "cuda" && !dtypes.empty() &&
                         dtypes.find(name(context.dtype)) == std::string::npos;
    if (is_slow) {
      std::printf(
          "           it has no %s of its own: dtype = float16 is faster\n",
          std::string(name(context.dtype)).c_str());
    }
  }
}

}  // namespace

int command_check(const CommandLine& line) {
  line.require_only({"digest", "shard"}, 1);
  const bool wants_digest = line.has("digest");
  RunDir(output_dir_of(line)).require_usable();
  const Inputs inputs = read_job_inputs(line, WeightsCheck::kHeaders).inputs;
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
