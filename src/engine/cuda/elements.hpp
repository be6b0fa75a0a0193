/// \file
/// What the kernels do to single elements, compiled for the device and, for the tests, for the
/// host. Values are rounded to T where Hugging Face's implementation rounds; sums are the callers'.
#pragma once

#include <cmath>

#ifdef __CUDACC__
#define PRUNE_SWEEP_DEVICE __host__ __device__ __forceinline__
#else
#define PRUNE_SWEEP_DEVICE inline
#endif

namespace prune_sweep::elements {

/// `value` as it would be after being stored as T.
template <typename T>
PRUNE_SWEEP_DEVICE float rounded(float value) {
  return static_cast<float>(static_cast<T>(value));
}

/// Of RMSNorm: `scale` is 1 / rms of the row.
template <typename T>
PRUNE_SWEEP_DEVICE float normed(float x, float scale, float weight) {
  return rounded<T>(rounded<T>(x * scale) * weight);
}

PRUNE_SWEEP_DEVICE float inverse_rms(float sum_of_squares, float count, float eps) {
  return 1.0F / std::sqrt(sum_of_squares / count + eps);
}

/// Elements i and i + head_dim / 2 of a head, turned by an angle (arXiv 2104.09864).
struct Pair {
  float first;
  float second;
};
template <typename T>
PRUNE_SWEEP_DEVICE Pair rotated(Pair x, float cos, float sin) {
  return {
      rounded<T>(rounded<T>(x.first * cos) - rounded<T>(x.second * sin)),
      rounded<T>(rounded<T>(x.second * cos) + rounded<T>(x.first * sin))};
}

/// SiLU(gate) * up.
template <typename T>
PRUNE_SWEEP_DEVICE float silu_mul(float gate, float up) {
  return rounded<T>(rounded<T>(gate / (1.0F + std::exp(-gate))) * up);
}

/// log(e^a + e^b); either may be minus infinity.
PRUNE_SWEEP_DEVICE float log_add(float a, float b) {
  const float larger = a > b ? a : b;
  const float smaller = a > b ? b : a;
  if (smaller == -INFINITY) return larger;
  return larger + std::log1p(std::exp(smaller - larger));
}

/// A weighted value of two parts, of which each was divided by its own sum e^log_sum.
PRUNE_SWEEP_DEVICE float merged(float a, float log_sum_a, float b, float log_sum_b, float log_sum) {
  return a * std::exp(log_sum_a - log_sum) + b * std::exp(log_sum_b - log_sum);
}

}  // namespace prune_sweep::elements
