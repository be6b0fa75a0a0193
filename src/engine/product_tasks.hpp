/// \file
/// How products that take the same rows are cut into tasks for threads: blocks of the rows of
/// weights x shares of the rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace prune_sweep {

/// A product of rows with one or more weights of the same shape.
struct ProductShape {
  int64_t num_weights = 1;
  int64_t out_width = 0;         ///< rows of each weight
  int64_t most_weight_rows = 0;  ///< of each weight in a block, if these are whole panels
};

class ProductTasks {
 public:
  /// Rows [first, first + count) of all weights of a product.
  struct Block {
    size_t product;
    int64_t first;
    int64_t count;
  };
  struct Task {
    Block block;
    int64_t first_row;
    int64_t end_row;
  };

  /// Rows are cut at multiples of `rows_at_once`. Preconditions: rows, threads and weights.
  ProductTasks(
      std::span<const ProductShape> products,
      int64_t num_rows,
      int64_t rows_at_once,
      int64_t num_threads);

  int64_t size() const { return std::ssize(blocks_) * num_shares_; }
  /// Those of a block are neighbours.
  Task at(int64_t index) const;

 private:
  int64_t num_steps() const { return (num_rows_ + rows_at_once_ - 1) / rows_at_once_; }

  int64_t num_rows_;
  int64_t rows_at_once_;
  std::vector<Block> blocks_;
  int64_t num_shares_;
};

}  // namespace prune_sweep
