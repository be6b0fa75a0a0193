/// \file
/// Products of rows and weights on a CPU. Weights are read where they lie, in the checkpoint's
/// mapping. With many rows, these are on the left and blocks of weights are transposed for it, once
/// for all rows; with few, the weights are on the left and the rows are transposed.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "engine/panels.hpp"
#include "engine/product_rows.hpp"
#include "engine/zeros.hpp"

namespace prune_sweep {

/// Rows of a product, the next ones, and what of the weight is zero for them.
struct RowZeros {
  const WeightZeros& of_weight;
  int64_t num_rows;
};

/// A weight as rows meet it. Not copied: all that it is made of must outlive it.
struct ProductWeight {
  ProductWeight(const at::Tensor& its_tensor, std::vector<RowZeros> its_zeros = {})
      : tensor(its_tensor), zeros(std::move(its_zeros)) {}

  const at::Tensor& tensor;     // [out_width, width]
  std::vector<RowZeros> zeros;  ///< for all rows together; empty: as it is. Of weights that are
                                ///< multiplied by the same rows these are cut alike.
};

/// One product of several that take the same rows.
struct Projection {
  ProductWeight weight;
  const at::Tensor& bias;  // [out_width], or undefined
  at::Tensor out;          // [rows, out_width], contiguous
};

/// out = x * weight^T + bias, rounded once.
void project(const ProductRows& x, std::span<const Projection> projections);

/// hidden += x * weight^T, the product rounded before it is added.
void add_product(
    const ProductRows& x, const ProductWeight& weight, at::Tensor hidden);  // [rows, out_width]

/// inner = SiLU(x * gate^T) * (x * up^T), for the next product.
void gated_product(
    const ProductRows& x, const ProductWeight& gate, const ProductWeight& up, ProductRows& inner);

/// What a product of `count` rows of a weight, from `first` on, and a panel of rows gives: tile
/// [count][columns], float32.
struct Tile {
  int64_t first = 0;
  int64_t count = 0;
  int64_t panel = 0;
  const float* sums = nullptr;
};
using OnTile = std::function<void(const Tile&)>;

/// Calls `on_tile` for all panels and the weight's rows [first, first + count), ascending in rows,
/// from the calling thread alone.
void for_tiles_here(
    const Panels& x, const at::Tensor& weight, int64_t first, int64_t count, const OnTile& on_tile);

}  // namespace prune_sweep
