/// \file
/// What becomes of a tile of a product, [count][columns] float32 sums of `count` rows of a weight
/// with the rows of a panel: it is transposed and rounded into the result, while it is in the
/// cache.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

#include "engine/tiles.hpp"

namespace prune_sweep {

/// Rows of a weight that are multiplied together.
inline constexpr int64_t kWeightRows = 128;

/// out[row][i] = sums[i][row] + bias[i], rounded once: `rows` rows of out, `out_width` apart.
/// `bias` may be null.
void store_tile(
    const float* sums,
    int64_t count,
    int64_t columns,
    int64_t rows,
    const float* bias,
    float* out,
    int64_t out_width);
void store_tile(
    const float* sums,
    int64_t count,
    int64_t columns,
    int64_t rows,
    const c10::BFloat16* bias,
    c10::BFloat16* out,
    int64_t out_width);

/// out += the sums, rounded before.
void add_tile(
    const float* sums, int64_t count, int64_t columns, int64_t rows, float* out, int64_t out_width);
void add_tile(
    const float* sums,
    int64_t count,
    int64_t columns,
    int64_t rows,
    c10::BFloat16* out,
    int64_t out_width);

/// SiLU(gate) * up of two tiles as words of a panel [any][columns] of the next product. The first
/// two parameters tell the types that values are stored and multiplied in.
void gate_tile(
    float,
    float,
    const float* gate,
    const float* up,
    int64_t count,
    int64_t columns,
    tiles::Word* to);
void gate_tile(
    c10::BFloat16,
    float,
    const float* gate,
    const float* up,
    int64_t count,
    int64_t columns,
    tiles::Word* to);
void gate_tile(
    c10::BFloat16,
    c10::BFloat16,
    const float* gate,
    const float* up,
    int64_t count,
    int64_t columns,
    tiles::Word* to);

}  // namespace prune_sweep
