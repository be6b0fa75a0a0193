/// \file
/// The table of kernels in loops on the host, of the same functions of single elements as those of
/// the device.
#pragma once

#include "engine/cuda/element_type.hpp"
#include "engine/cuda/elements.hpp"
#include "engine/cuda/kernel_table.hpp"

namespace prune_sweep::host_kernels {

template <typename T>
float scale_of(const T* x, int64_t n, float eps) {
  float squares = 0;
  for (int64_t i = 0; i < n; ++i) squares += static_cast<float>(x[i]) * static_cast<float>(x[i]);
  return elements::inverse_rms(squares, static_cast<float>(n), eps);
}

inline const char* rms_norm(
    ElementType type,
    const void* x,
    const void* weight,
    void* out,
    int64_t rows,
    int64_t n,
    float eps,
    void*) {
  with_type(type, [&](auto zero) {
    using T = decltype(zero);
    const auto* weights = static_cast<const T*>(weight);
    for (int64_t row = 0; row < rows; ++row) {
      const T* from = static_cast<const T*>(x) + row * n;
      T* to = static_cast<T*>(out) + row * n;
      const float scale = scale_of(from, n, eps);
      for (int64_t i = 0; i < n; ++i) to[i] = T(elements::normed<T>(from[i], scale, weights[i]));
    }
  });
  return nullptr;
}

inline const char* norm_and_rotate(
    ElementType type,
    void* x,
    const void* weight,
    const void* cos,
    const void* sin,
    int64_t rows,
    int64_t heads,
    int64_t head_dim,
    float eps,
    void*) {
  with_type(type, [&](auto zero) {
    using T = decltype(zero);
    const auto* weights = static_cast<const T*>(weight);
    const int64_t half = head_dim / 2;
    for (int64_t head = 0; head < rows * heads; ++head) {
      T* own = static_cast<T*>(x) + head * head_dim;
      const float scale = weights != nullptr ? scale_of(own, head_dim, eps) : 1;
      for (int64_t i = 0; i < half; ++i) {
        elements::Pair pair{own[i], own[half + i]};
        if (weights != nullptr) {
          pair.first = elements::normed<T>(pair.first, scale, weights[i]);
          pair.second = elements::normed<T>(pair.second, scale, weights[half + i]);
        }
        const int64_t angle = head / heads * half + i;
        pair = elements::rotated<T>(
            pair, static_cast<const T*>(cos)[angle], static_cast<const T*>(sin)[angle]);
        own[i] = T(pair.first);
        own[half + i] = T(pair.second);
      }
    }
  });
  return nullptr;
}

inline const char* silu_mul(
    ElementType type, const void* gate, const void* up, void* out, int64_t count, void*) {
  with_type(type, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t i = 0; i < count; ++i) {
      static_cast<T*>(out)[i] =
          T(elements::silu_mul<T>(static_cast<const T*>(gate)[i], static_cast<const T*>(up)[i]));
    }
  });
  return nullptr;
}

inline const char* merge(
    ElementType type,
    const void* values_a,
    const float* log_sum_a,
    const void* values_b,
    const float* log_sum_b,
    void* values,
    float* log_sum,
    int64_t rows,
    int64_t heads,
    int64_t head_dim,
    void*) {
  with_type(type, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t i = 0; i < rows * heads * head_dim; ++i) {
      const int64_t at = i / head_dim % heads * rows + i / (heads * head_dim);
      log_sum[at] = elements::log_add(log_sum_a[at], log_sum_b[at]);
      static_cast<T*>(values)[i] = T(elements::merged(
          static_cast<const T*>(values_a)[i],
          log_sum_a[at],
          static_cast<const T*>(values_b)[i],
          log_sum_b[at],
          log_sum[at]));
    }
  });
  return nullptr;
}

inline const KernelTable* table() {
  static constexpr KernelTable kTable{
      KernelTable::kVersion, rms_norm, norm_and_rotate, silu_mul, merge};
  return &kTable;
}

}  // namespace prune_sweep::host_kernels
