/// \file
/// What both forms of attention share: queries as a left-hand side, softmax, and how products with
/// blocks of keys and values add up.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

#include "engine/kv_blocks.hpp"
#include "engine/lanes.hpp"
#include "engine/tile_types.hpp"

namespace prune_sweep {

/// How many of `num_tasks` tasks, `flops` operations in all, are worth a thread of their own.
inline int64_t parallel_grain(int64_t num_tasks, int64_t flops) {
  constexpr int64_t kFlopsPerThread = 1 << 20;  // some ten microseconds
  return std::max<int64_t>(1, num_tasks * kFlopsPerThread / std::max<int64_t>(1, flops));
}

inline float score_scale(int64_t head_dim) {
  return 1.0F / std::sqrt(static_cast<float>(head_dim));
}

/// Rows of a left-hand side, rounded up so that few shapes of products occur.
inline int64_t padded_rows(int64_t rows) { return (rows + 15) / 16 * 16; }

inline constexpr float kLowestScore = -std::numeric_limits<float>::infinity();

/// Lane by lane the largest of `count` scaled scores and of `largest`. There is room for whole
/// lanes behind them.
PRUNE_SWEEP_INLINE Lanes
largest_scores(const float* scores, int64_t count, float scale, Lanes largest) {
  const Lanes lowest = Lanes{} + kLowestScore;
  for (int64_t i = 0; i < count; i += kLanes) {
    const Lanes values = load(scores + i) * scale;
    largest = larger(largest, first_lanes(count - i) ? values : lowest);
  }
  return largest;
}
/// Turns `count` scores into e^(scaled score - `top`), in place, and adds them to `total` lane by
/// lane.
PRUNE_SWEEP_INLINE Lanes
powers_of_scores(float* scores, int64_t count, float scale, float top, Lanes total) {
  for (int64_t i = 0; i < count; i += kLanes) {
    const Lanes powers = exp(load(scores + i) * scale - top);
    const Lanes values = first_lanes(count - i) ? powers : Lanes{};
    total += values;
    store(scores + i, values, count - i);
  }
  return total;
}

/// `count` powers times `norm`, rounded to T, and zeros behind them, [extent].
template <typename T, typename C>
PRUNE_SWEEP_INLINE void store_probabilities(
    const float* powers, int64_t count, float norm, int64_t extent, C* probabilities) {
  for (int64_t i = 0; i < extent; i += kLanes) {
    const Lanes values = first_lanes(count - i) ? load(powers + i) * norm : Lanes{};
    store(probabilities + i, rounded_to<T>(values));
  }
}

}  // namespace prune_sweep
