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

#include "engine/lanes.hpp"
#include "engine/stream_kv.hpp"
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

/// Turns a row of `count` scores into e^(scaled score - the largest), in place, and returns the
/// inverse of their sum. There is room for whole lanes behind them.
PRUNE_SWEEP_INLINE float softmax_powers(float* scores, int64_t count, float scale) {
  const Lanes lowest = Lanes{} - std::numeric_limits<float>::infinity();
  Lanes largest = lowest;
  for (int64_t i = 0; i < count; i += kLanes) {
    const Lanes values = load(scores + i) * scale;
    largest = larger(largest, first_lanes(count - i) ? values : lowest);
  }
  const float top = max(largest);
  Lanes total{};
  for (int64_t i = 0; i < count; i += kLanes) {
    const Lanes powers = exp(load(scores + i) * scale - top);
    const Lanes values = first_lanes(count - i) ? powers : Lanes{};
    total += values;
    store(scores + i, values, count - i);
  }
  return 1.0F / sum(total);
}

/// Turns a row of `count` scores into probabilities of the scaled scores, in place.
PRUNE_SWEEP_INLINE void softmax_row(float* scores, int64_t count, float scale) {
  const float norm = softmax_powers(scores, count, scale);
  for (int64_t i = 0; i < count; i += kLanes) {
    store(scores + i, load(scores + i) * norm, count - i);
  }
}

}  // namespace prune_sweep
