/// \file
/// The options of `run` that are not the job's: what it may wait for, and until when.
#pragma once

#include <string>
#include <vector>

#include "cli/options.hpp"
#include "prune_sweep/core/savings.hpp"
#include "prune_sweep/sweep/supervisor.hpp"

namespace prune_sweep {

/// Their names, without dashes.
std::vector<std::string> run_options();

/// What --naive, --no-fork, --no-prefix, --no-batch-decode and --row-block=N leave of the savings.
/// Throws Error (kBadInput) naming the option.
Savings savings_of(const CommandLine& line);

/// `started_s` is when the program was started, seconds since 1970-01-01 UTC. The deadline is the
/// earlier one of --deadline=SECONDS|HH:MM:SS (from the start) and the end of the SLURM allocation,
/// less the time to pack the archive. Throws Error (kBadInput) naming the option.
RunLimits run_limits(const CommandLine& line, double started_s);

}  // namespace prune_sweep
