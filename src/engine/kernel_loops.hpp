/// \file
/// The loops of kernels.hpp on rows in memory, for those who have rows but no tensors.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

#include "engine/lanes.hpp"

namespace prune_sweep {

/// out = x / rms(x) * weight for every row: [rows, n] of n elements each, `weight` [n].
void rms_norm_rows(
    const float* x, const float* weight, float* out, int64_t rows, int64_t n, float eps);
void rms_norm_rows(
    const c10::BFloat16* x,
    const c10::BFloat16* weight,
    c10::BFloat16* out,
    int64_t rows,
    int64_t n,
    float eps);

/// Rounds `count` values to the type of `to`.
void round_to(const float* from, int64_t count, float* to);
void round_to(const float* from, int64_t count, c10::BFloat16* to);

/// SiLU(gate) * up of values that were rounded to T, rounded after each step but the last.
template <typename T>
PRUNE_SWEEP_INLINE Lanes silu_mul_lanes(Lanes gate, Lanes up) {
  return rounded_to<T>(gate / (1.0F + exp(-gate))) * up;
}

}  // namespace prune_sweep
