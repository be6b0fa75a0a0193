/// \file
/// Rotary position embedding: frequencies and angles (arXiv 2104.09864).
#pragma once

#include <cstdint>
#include <vector>

#include "engine/kernels.hpp"
#include "prune_sweep/model/model_config.hpp"

namespace prune_sweep {

/// [head_dim / 2]: radians per position, in float32 step by step as transformers has them
/// (modeling_rope_utils.py).
std::vector<float> rope_frequencies(const RopeConfig& config, int32_t head_dim);

/// Of the positions from 0 on, in float32: [num_positions, head_dim / 2].
Rope rope_angles(const std::vector<float>& frequencies, int64_t num_positions);

}  // namespace prune_sweep
