/// \file
/// How fast this machine is at what the engine does most.
#pragma once

#include <cstdint>

#include "prune_sweep/core/job.hpp"

namespace prune_sweep {

/// Multiplications and additions per second of an MLP of [hidden, intermediate] on random numbers,
/// measured for about half a second with `num_threads` threads.
double measure_flops_per_s(DType dtype, int64_t hidden, int64_t intermediate, int32_t num_threads);

}  // namespace prune_sweep
