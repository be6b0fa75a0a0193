/// \file
/// Keys and values in blocks, as products of tiles want them.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "engine/tiles.hpp"

namespace prune_sweep {

/// Columns of one position each, for every head, in memory that is touched when first written.
class KvBlocks {
 public:
  /// Positions of a block, but the last one of a text.
  static constexpr int64_t kPositions = 64;
  /// Positions of a block are a multiple of it.
  static constexpr int64_t kStep = 32;

  /// Consecutive columns.
  struct Block {
    int64_t first = 0;
    int64_t count = 0;
  };

  /// Blocks of `length` positions.
  static int64_t num_blocks(int64_t length) { return (length + kPositions - 1) / kPositions; }
  /// `count` rounded up to whole steps.
  static int64_t steps_up(int64_t count) { return (count + kStep - 1) / kStep * kStep; }
  /// Block `index` of `length` positions from column `first` on.
  static Block block_of(int64_t first, int64_t length, int64_t index) {
    const int64_t before = index * kPositions;
    return {first + before, std::min(kPositions, steps_up(length) - before)};
  }

  /// Makes room; what was there is gone. Memory is kept for the next time. Preconditions: columns
  /// are whole steps, and there are products of tiles for elements of this type.
  void reserve(int64_t kv_heads, int64_t head_dim, int64_t num_columns, at::ScalarType stored);

  tiles::Arithmetic arithmetic() const { return arithmetic_; }
  int64_t kv_heads() const { return kv_heads_; }
  int64_t head_dim() const { return head_dim_; }

  /// A block of keys, [words(head_dim)][block.count], and of values,
  /// [words(block.count)][head_dim]. A block is always asked for as the same columns.
  const tiles::Word* keys(int64_t kv_head, Block block) const {
    return words() + (kv_head * num_columns_ + block.first) / kStep * step_words_;
  }
  const tiles::Word* values(int64_t kv_head, Block block) const {
    return keys(kv_head, block) + block.count * column_words_;
  }
  tiles::Word* keys(int64_t kv_head, Block block) {
    return const_cast<tiles::Word*>(std::as_const(*this).keys(kv_head, block));
  }
  tiles::Word* values(int64_t kv_head, Block block) {
    return const_cast<tiles::Word*>(std::as_const(*this).values(kv_head, block));
  }

 private:
  const tiles::Word* words() const {
    return static_cast<const tiles::Word*>(words_.const_data_ptr());
  }

  tiles::Arithmetic arithmetic_ = tiles::Arithmetic::kNone;
  int64_t kv_heads_ = 0;
  int64_t head_dim_ = 0;
  int64_t num_columns_ = 0;
  int64_t column_words_ = 0;  ///< of the keys of a column
  int64_t step_words_ = 0;    ///< of the keys and values of a step's columns
  at::Tensor words_;          // int32
};

}  // namespace prune_sweep
