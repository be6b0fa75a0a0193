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

inline constexpr float kLowestScore = -std::numeric_limits<float>::infinity();

/// Lane by lane the largest of `count` scaled scores and of `largest`. There is room for whole
/// lanes behind them.
PRUNE_SWEEP_INLINE Lanes
largest_scores(const float* scores, int64_t count, float scale, Lanes largest) {
  const Lanes lowest = Lanes{} + kLowestScore;
  for_sixteens(
      count,
      [&](int64_t i)
          PRUNE_SWEEP_INLINE_LAMBDA { largest = larger(largest, load(scores + i) * scale); },
      [&](int64_t i, int64_t n) PRUNE_SWEEP_INLINE_LAMBDA {
        largest = larger(largest, first_lanes(n) ? load(scores + i) * scale : lowest);
      });
  return largest;
}
/// Turns `count` scores into e^(scaled score - `top`), in place, and adds them to `total` lane by
/// lane.
PRUNE_SWEEP_INLINE Lanes
powers_of_scores(float* scores, int64_t count, float scale, float top, Lanes total) {
  const auto powers = [&](int64_t i)
                          PRUNE_SWEEP_INLINE_LAMBDA { return exp(load(scores + i) * scale - top); };
  for_sixteens(
      count,
      [&](int64_t i) PRUNE_SWEEP_INLINE_LAMBDA {
        const Lanes values = powers(i);
        total += values;
        store(scores + i, values);
      },
      [&](int64_t i, int64_t n) PRUNE_SWEEP_INLINE_LAMBDA {
        const Lanes values = first_lanes(n) ? powers(i) : Lanes{};
        total += values;
        store(scores + i, values, n);
      });
  return total;
}

/// `count` powers times `norm`, rounded to T, and zeros behind them, [extent].
template <typename T, typename C>
PRUNE_SWEEP_INLINE void store_probabilities(
    const float* powers, int64_t count, float norm, int64_t extent, C* probabilities) {
  const auto keep = [&](int64_t i, Lanes values) PRUNE_SWEEP_INLINE_LAMBDA {
    // What is multiplied in the type it is stored in is rounded to it by storing.
    store(probabilities + i, std::is_same_v<T, C> ? values : rounded_to<T>(values));
  };
  for_sixteens(
      count,
      [&](int64_t i) PRUNE_SWEEP_INLINE_LAMBDA { keep(i, load(powers + i) * norm); },
      [&](int64_t i, int64_t n) PRUNE_SWEEP_INLINE_LAMBDA {
        keep(i, first_lanes(n) ? load(powers + i) * norm : Lanes{});
      });
  for (int64_t i = lanes_up(count); i < extent; i += kLanes) keep(i, Lanes{});
}

}  // namespace prune_sweep
