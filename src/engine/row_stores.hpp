/// \file
/// What becomes of a product's float32 sums while they are in the cache: they are rounded into the
/// result.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

namespace prune_sweep {

/// Sums [rows][count], rows `stride` apart.
struct SumsShape {
  int64_t rows;
  int64_t count;
  int64_t stride;
};

/// out[row][i] = sums[row][i] + bias[i], rounded once; rows of `out` are `out_stride` apart. `bias`
/// may be null.
void store_rows(
    const float* sums, const SumsShape& shape, const float* bias, float* out, int64_t out_stride);
void store_rows(
    const float* sums,
    const SumsShape& shape,
    const c10::BFloat16* bias,
    c10::BFloat16* out,
    int64_t out_stride);

/// out += the sums, rounded before.
void add_rows(const float* sums, const SumsShape& shape, float* out, int64_t out_stride);
void add_rows(const float* sums, const SumsShape& shape, c10::BFloat16* out, int64_t out_stride);

/// out = SiLU(gate) * up, all rounded to the type of the first parameter, which values are stored
/// in; `out` is of the type that they are multiplied in.
void gate_rows(
    float,
    const float* gate,
    const float* up,
    const SumsShape& shape,
    float* out,
    int64_t out_stride);
void gate_rows(
    c10::BFloat16,
    const float* gate,
    const float* up,
    const SumsShape& shape,
    float* out,
    int64_t out_stride);
void gate_rows(
    c10::BFloat16,
    const float* gate,
    const float* up,
    const SumsShape& shape,
    c10::BFloat16* out,
    int64_t out_stride);

/// sums[row][i] = tile[i][row]: a tile [count][columns] of a product with the weight on the left.
void turn_tile(
    const float* tile, int64_t columns, int64_t rows, int64_t count, float* sums, int64_t stride);

}  // namespace prune_sweep
