/// \file
/// What the ways of making products of rows and weights have in common: few_rows.hpp,
/// zeroed_rows.hpp and many_rows.hpp. Each is a template `Rows` of the type that weights are stored
/// in and the one they are multiplied in, made from the rows, with
///   num_rows()          what ProductTasks cut,
///   kRowsAtOnce         at multiples of which they do,
///   most_weight_rows()  of a block,
///   Worker              what one thread works with: set_block(block, weights), then
///                       multiply(row, on_sums) for every kRowsAtOnce rows.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/aligned_vector.hpp"
#include "engine/linear.hpp"
#include "engine/panels.hpp"
#include "engine/product_tasks.hpp"
#include "engine/row_stores.hpp"

namespace prune_sweep {

/// Weights of the same shape that are multiplied with the same rows: one, or two.
using WeightsOfProduct = std::vector<const ProductWeight*>;

/// Rows of which one weight is the same: it, or what is left of it.
struct Share {
  RowRange rows;
  size_t index;  ///< in ProductWeight::zeros, if there are any
};

inline const WeightZeros* zeros_of(const ProductWeight& weight, const Share& share) {
  return weight.zeros.empty() ? nullptr : &weight.zeros[share.index].of_weight;
}

/// Sums of rows [first_row, first_row + num_rows) with a part of a block, [num_rows][count], rows
/// `stride` apart: of a product's first weight and, if it has one, of its second.
struct Sums {
  ProductTasks::Block part;
  int64_t first_row;
  int64_t num_rows;
  int64_t stride;
  const float* of_first;
  const float* of_second;

  SumsShape shape() const { return {num_rows, part.count, stride}; }
};

/// Rows of a block at most where weights are on the left.
inline constexpr int64_t kRowsOnTheLeft = 128;

/// Sums of products with weights on the left, turned for who takes Sums.
class TurnedSums {
 public:
  /// Calls on_sums for a panel and a block; `products`, one of each weight, have sums(panel)
  /// [block.count][columns of the panel].
  template <typename Product, typename OnSums>
  void give(
      const ProductTasks::Block& block,
      const Panels& panels,
      int64_t panel,
      std::span<Product> products,
      const OnSums& on_sums) {
    const auto& [first_row, num_rows] = panels.rows_of(panel);
    for (size_t i = 0; i < products.size(); ++i) {
      turn_tile(
          products[i].sums(panel),
          panels.columns(panel),
          num_rows,
          block.count,
          of(i),
          kRowsOnTheLeft);
    }
    on_sums(Sums{block, first_row, num_rows, kRowsOnTheLeft, of(0), of(1)});
  }

 private:
  float* of(size_t weight) { return sums_.data() + weight * (sums_.size() / 2); }

  AlignedVector<float> sums_ = AlignedVector<float>(2 * Panels::kRows * kRowsOnTheLeft);
};

}  // namespace prune_sweep
