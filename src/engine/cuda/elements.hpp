/// \file
/// What the kernels do to single elements. Values are rounded to T where Hugging Face's
/// implementation rounds; sums are the callers'.
#pragma once

#include <cmath>
#include <cstdint>

namespace prune_sweep::elements {

/// `value` as it would be after being stored as T.
template <typename T>
__device__ __forceinline__ float rounded(float value) {
  return static_cast<float>(static_cast<T>(value));
}

/// Of RMSNorm: `scale` is 1 / rms of the row.
template <typename T>
__device__ __forceinline__ float normed(float x, float scale, float weight) {
  return rounded<T>(rounded<T>(x * scale) * weight);
}

__device__ __forceinline__ float inverse_rms(float sum_of_squares, float count, float eps) {
  return 1.0F / std::sqrt(sum_of_squares / count + eps);
}

/// Elements i and i + head_dim / 2 of a head, turned by an angle (arXiv 2104.09864).
struct Pair {
  float first;
  float second;
};
template <typename T>
__device__ __forceinline__ Pair rotated(Pair x, float cos, float sin) {
  return {
      rounded<T>(rounded<T>(x.first * cos) - rounded<T>(x.second * sin)),
      rounded<T>(rounded<T>(x.second * cos) + rounded<T>(x.first * sin))};
}

/// SiLU(gate) * up.
template <typename T>
__device__ __forceinline__ float silu_mul(float gate, float up) {
  return rounded<T>(rounded<T>(gate / (1.0F + std::exp(-gate))) * up);
}

/// A sum's logarithm as arithmetic wants it: libtorch's kernel gives plus infinity to a query
/// without keys.
__device__ __forceinline__ float log_sum_of(float stored) {
  return stored == INFINITY ? -INFINITY : stored;
}

/// log(e^a + e^b); either may be infinite, see above.
__device__ __forceinline__ float log_add(float a, float b) {
  a = log_sum_of(a);
  b = log_sum_of(b);
  const float larger = a > b ? a : b;
  const float smaller = a > b ? b : a;
  if (smaller == -INFINITY) return larger;
  return larger + std::log1p(std::exp(smaller - larger));
}

/// By what weighted values of two parts, each divided by its own sum e^log_sum, are multiplied
/// before they are added (arXiv 2402.05099, section 3.1).
struct Shares {
  float first;
  float second;
};
__device__ __forceinline__ Shares shares(float first_log_sum, float second_log_sum) {
  const float log_sum = log_add(first_log_sum, second_log_sum);
  return {
      std::exp(log_sum_of(first_log_sum) - log_sum),
      std::exp(log_sum_of(second_log_sum) - log_sum)};
}

/// e^(score - top), where nothing has a score yet too.
__device__ __forceinline__ float power(float score, float top) {
  return score == -INFINITY ? 0.0F : std::exp(score - top);
}

/// What is known of some of a row's logits.
struct Logits {
  float top;       ///< the largest number, or minus infinity
  int32_t top_id;  ///< the lowest that has it, or -1
  double total;    ///< of e^(logit - top); NaN when a logit is none

  static __device__ __forceinline__ Logits none() { return {-INFINITY, -1, 0}; }
  __device__ __forceinline__ void add(const Logits& other) {
    const float before = top;
    const bool is_lower = other.top == top && other.top_id >= 0 && other.top_id < top_id;
    if (other.top > top || is_lower) {
      top = other.top;
      top_id = other.top_id;
    }
    total = total * power(before, top) + other.total * power(other.top, top);
  }
};

/// The logits that one thread looks at, in ascending order of ids.
struct LogitScan {
  float top = -INFINITY;
  int32_t top_id = -1;
  float total = 0;

  __device__ __forceinline__ void add(float logit, int32_t id, bool wants_total) {
    if (logit > top) {
      total = wants_total ? total * power(top, logit) + 1 : 0;
      top = logit;
      top_id = id;
    } else if (wants_total && logit != -INFINITY) {
      total += std::exp(logit - top);
    }
  }
  __device__ __forceinline__ Logits result() const { return {top, top_id, total}; }
};

}  // namespace prune_sweep::elements
