/// \file
/// The kernels of a library of their own, which is loaded where there is a device, as plain
/// functions. Tensors are contiguous and on the device; a call returns before the work is done, in
/// the order of its stream. It returns null, or why the work could not be begun.
#pragma once

#include <cstdint>

namespace prune_sweep {

enum class ElementType : int32_t { kBfloat16, kFloat16, kFloat32 };

struct KernelTable {
  static constexpr int32_t kVersion = 1;
  int32_t version;

  /// out = x / rms(x) * weight, row by row: x, out [rows, n], weight [n].
  const char* (*rms_norm)(
      ElementType type,
      const void* x,
      const void* weight,
      void* out,
      int64_t rows,
      int64_t n,
      float eps,
      void* stream);

  /// In place: every head after RMSNorm, unless `weight` [head_dim] is null, then turned by its
  /// row's angles: x [rows, heads, head_dim], cos and sin [rows, head_dim / 2].
  const char* (*norm_and_rotate)(
      ElementType type,
      void* x,
      const void* weight,
      const void* cos,
      const void* sin,
      int64_t rows,
      int64_t heads,
      int64_t head_dim,
      float eps,
      void* stream);

  /// out = SiLU(gate) * up: [count].
  const char* (*silu_mul)(
      ElementType type, const void* gate, const void* up, void* out, int64_t count, void* stream);

  /// Attention to the keys of both a and b: values [rows, heads, head_dim], log_sum [heads, rows]
  /// float32.
  const char* (*merge)(
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
      void* stream);
};

}  // namespace prune_sweep

/// What the library exports.
extern "C" const prune_sweep::KernelTable* prune_sweep_kernel_table();
