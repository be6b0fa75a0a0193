/// \file
/// Keys and values of one stream's rows in one layer, laid out for attention.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "engine/kv_blocks.hpp"
#include "engine/packed_rows.hpp"

namespace prune_sweep {

/// How the positions of packed rows lie in blocks. A sequence's block b has its positions from
/// 128 b on, so that its attention is the same sum whatever it shares; its last block is only as
/// long as its positions need, in whole steps. The whole blocks of the prefix are there once for
/// all sequences; what is left of the prefix stands in each sequence's first own block.
class KvLayout {
 public:
  /// Which rows of a sequence have a place.
  enum class Rows : uint8_t { kAll, kKept };

  explicit KvLayout(const PackedRows& packed, Rows rows = Rows::kAll);

  /// Sequences, and the prefix as one more behind them.
  int64_t num_runs() const { return static_cast<int64_t>(first_own_column_.size()); }
  /// Positions that there is room for.
  int64_t num_columns() const { return num_columns_; }
  int64_t num_shared_blocks() const { return num_shared_; }
  int64_t run_length(int64_t run) const;  ///< positions, those of the prefix among them
  /// Where block `index` of a run's positions is.
  KvBlocks::Block block_of(int64_t run, int64_t index) const;
  const PackedRows& packed() const { return packed_; }

 private:
  const PackedRows& packed_;
  Rows rows_;
  int64_t num_shared_ = 0;
  int64_t num_columns_ = 0;
  std::vector<int64_t> first_own_column_;  // [runs]
};

/// Takes keys and values of the rows of `layout.packed()` that have a place: [rows, kv_heads,
/// head_dim].
void fill(KvBlocks& blocks, const at::Tensor& k, const at::Tensor& v, const KvLayout& layout);

}  // namespace prune_sweep
