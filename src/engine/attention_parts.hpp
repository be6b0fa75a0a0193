/// \file
/// What both forms of attention share.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "engine/lanes.hpp"

namespace prune_sweep {

/// How many of `num_tasks` tasks, `flops` operations in all, are worth a thread of their own.
inline int64_t parallel_grain(int64_t num_tasks, int64_t flops) {
  constexpr int64_t kFlopsPerThread = 1 << 20;  // some ten microseconds
  return std::max<int64_t>(1, num_tasks * kFlopsPerThread / std::max<int64_t>(1, flops));
}

inline float score_scale(int64_t head_dim) {
  return 1.0F / std::sqrt(static_cast<float>(head_dim));
}

/// Turns a row of scores into probabilities: scaled, the first `visible` through softmax, the rest
/// zero. `scratch` holds `extent` floats.
template <typename T>
PRUNE_SWEEP_INLINE void softmax_row(
    T* scores, int64_t visible, int64_t extent, float scale, float* scratch) {
  const Lanes lowest = Lanes{} - std::numeric_limits<float>::infinity();
  Lanes largest = lowest;
  for (int64_t i = 0; i < visible; i += kLanes) {
    const Lanes scaled = rounded_to<T>(load(scores + i, extent - i) * scale);
    const Lanes values = first_lanes(visible - i) ? scaled : lowest;
    largest = larger(largest, values);
    store(scratch + i, values, extent - i);
  }
  const float top = max(largest);
  Lanes total{};
  for (int64_t i = 0; i < visible; i += kLanes) {
    const Lanes powers = exp(load(scratch + i, extent - i) - top);
    const Lanes values = first_lanes(visible - i) ? powers : Lanes{};
    total += values;
    store(scratch + i, values, extent - i);
  }
  const float norm = 1.0F / sum(total);
  int64_t done = 0;
  for (; done < visible; done += kLanes) {
    store(scores + done, load(scratch + done, extent - done) * norm, extent - done);
  }
  for (; done < extent; done += kLanes) store(scores + done, Lanes{}, extent - done);
}

}  // namespace prune_sweep
