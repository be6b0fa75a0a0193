/// \file
/// Keys and values of one stream's rows in one layer, laid out for attention.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "engine/packed_rows.hpp"
#include "engine/tiles.hpp"

namespace prune_sweep {

/// How the positions of packed rows lie in blocks. A sequence's block b has its positions from
/// 128 b on, so that its attention is the same sum whatever it shares; its last block is only as
/// long as its positions need, in whole steps. The whole blocks of the prefix are there once for
/// all sequences; what is left of the prefix stands in each sequence's first own block.
class KvLayout {
 public:
  /// Which rows of a sequence have a place.
  enum class Rows : uint8_t { kAll, kKept };

  static constexpr int64_t kPositions = 128;
  /// Positions of a block are a multiple of it.
  static constexpr int64_t kStep = 32;

  /// Consecutive columns.
  struct Block {
    int64_t first = 0;
    int64_t count = 0;
  };

  explicit KvLayout(const PackedRows& packed, Rows rows = Rows::kAll);

  /// Sequences, and the prefix as one more behind them.
  int64_t num_runs() const { return static_cast<int64_t>(first_own_column_.size()); }
  /// Positions that there is room for.
  int64_t num_columns() const { return num_columns_; }
  int64_t num_shared_blocks() const { return num_shared_; }
  /// Blocks of the first `length` positions of a sequence.
  static int64_t num_blocks(int64_t length) { return (length + kPositions - 1) / kPositions; }
  /// `count` rounded up to whole steps.
  static int64_t steps_up(int64_t count) { return (count + kStep - 1) / kStep * kStep; }
  int64_t run_length(int64_t run) const;  ///< positions, those of the prefix among them
  /// Where block `index` of a run's positions is.
  Block block_of(int64_t run, int64_t index) const;
  const PackedRows& packed() const { return packed_; }

 private:
  const PackedRows& packed_;
  Rows rows_;
  int64_t num_shared_ = 0;
  int64_t num_columns_ = 0;
  std::vector<int64_t> first_own_column_;  // [runs]
};

class StreamKv {
 public:
  /// Takes keys and values of the rows of `layout.packed()`, of all or of those that have a place:
  /// [rows, kv_heads, head_dim]. Memory is kept for the next time. Precondition: there are products
  /// of tiles.
  void fill(const at::Tensor& k, const at::Tensor& v, const KvLayout& layout);

  tiles::Arithmetic arithmetic() const { return arithmetic_; }
  int64_t kv_heads() const { return kv_heads_; }
  int64_t head_dim() const { return head_dim_; }

  /// A block of keys, [words(head_dim)][block.count], and of values,
  /// [words(block.count)][head_dim].
  const tiles::Word* keys(int64_t kv_head, KvLayout::Block block) const {
    return words() + first_word(kv_head, block);
  }
  const tiles::Word* values(int64_t kv_head, KvLayout::Block block) const {
    return keys(kv_head, block) + block.count * column_words_;
  }

 private:
  int64_t first_word(int64_t kv_head, KvLayout::Block block) const {
    return (kv_head * num_columns_ + block.first) / KvLayout::kStep * step_words_;
  }
  tiles::Word* words() const { return static_cast<tiles::Word*>(words_.data_ptr()); }
  template <typename T, typename C>
  void fill_blocks(const at::Tensor& k, const at::Tensor& v, const KvLayout& layout);

  tiles::Arithmetic arithmetic_ = tiles::Arithmetic::kNone;
  int64_t kv_heads_ = 0;
  int64_t head_dim_ = 0;
  int64_t num_columns_ = 0;
  int64_t column_words_ = 0;  ///< of the keys of a column
  int64_t step_words_ = 0;    ///< of the keys and values of a step's columns
  at::Tensor words_;          // int32
};

}  // namespace prune_sweep
