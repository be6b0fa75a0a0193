/// \file
/// The job of a command line with what it refers to.
#pragma once

#include "cli/options.hpp"
#include "prune_sweep/inputs/inputs.hpp"

namespace prune_sweep {

struct JobInputs {
  Job job;        ///< paths as the job file has them: what other hosts are told
  Inputs inputs;  ///< as they lie on this host (see local_paths.hpp)
};

/// Reads job, model directory and data; with --shard it is the shard's job. Throws Error
/// (kBadInput).
JobInputs read_job_inputs(const CommandLine& line, WeightsCheck weights);

}  // namespace prune_sweep
