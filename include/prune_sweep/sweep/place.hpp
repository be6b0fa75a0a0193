/// \file
/// Where a rank is: its host, and what of it is the rank's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "prune_sweep/protocol/message.hpp"
#include "prune_sweep/sweep/devices.hpp"
#include "prune_sweep/sweep/launch.hpp"

namespace prune_sweep {

struct Place {
  std::string host;
  int32_t num_cores = 1;         ///< of the host, as far as this job may use them
  int32_t num_threads = 1;       ///< of this rank's evaluator
  int64_t memory_bytes = 0;      ///< of the host, as far as this job may use it; 0: not known
  std::vector<Device> devices;   ///< that the ranks of the host share
  std::optional<Device> device;  ///< this rank's
};

/// What counts are made from.
struct HostCounts {
  int32_t num_cores = 1;     ///< that the system lets this process use
  int64_t memory_bytes = 0;  ///< of the host
  int32_t num_ranks = 1;     ///< on this host
};

/// Cores, threads and memory of a rank, where SLURM may have given the job a part of the host only.
Place place_of(const HostCounts& host, const Environment& variable);

/// This rank's place; `local_rank` is its number among the `num_ranks` of its host.
Place find_place(int32_t local_rank, int32_t num_ranks);

/// What a rank says of itself.
Hello hello_of(const Place& place, const std::string& program_version);

}  // namespace prune_sweep
