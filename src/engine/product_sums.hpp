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
#include <vector>

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

}  // namespace prune_sweep
