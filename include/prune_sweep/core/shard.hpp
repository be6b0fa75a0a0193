/// \file
/// A shard: a part of a job's variants that is a job of its own, for allocations that do not know
/// of each other. `merge` puts their runs together.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "prune_sweep/core/plan.hpp"

namespace prune_sweep {

/// The `index`-th of `count` parts, counted from 1.
struct Shard {
  int32_t index = 1;
  int32_t count = 1;
};

/// Reads `k/n`. Throws Error (kBadInput) naming the option.
Shard parse_shard(std::string_view text);

/// Where a shard of a job runs: beside the job's own output.dir, `results/run-2-of-4`.
std::filesystem::path shard_dir(const std::filesystem::path& output_dir, const Shard& shard);

/// The job with the shard's variants alone and an output.dir of its own. `plan` is the whole job's,
/// with or without digests: variants next to each other, which share most, stay together, and all
/// shards cost about the same. Every shard has the baseline. Throws Error (kBadInput) when there
/// are fewer other variants than shards.
Job shard_of(Job job, const Plan& plan, const Shard& shard);

}  // namespace prune_sweep
