#include "cli/job_inputs.hpp"

#include <utility>

#include "prune_sweep/core/shard.hpp"
#include "prune_sweep/inputs/local_paths.hpp"

namespace prune_sweep {

JobInputs read_job_inputs(const CommandLine& line, WeightsCheck weights) {
  Job job = job_of(line);
  // Before any file is read: a slip in an option is told at once.
  const auto option = line.flags.find("shard");
  const auto shard =
      option == line.flags.end() ? std::nullopt : std::optional(parse_shard(option->second));
  Inputs inputs = read_inputs(on_this_host(job), weights);
  if (shard) {
    job = shard_of(std::move(job), plan_of(inputs), *shard);
    inputs.job.sweep = job.sweep;
    inputs.job.output_dir = job.output_dir;
  }
  return {std::move(job), std::move(inputs)};
}

}  // namespace prune_sweep
