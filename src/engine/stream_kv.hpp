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
/// 128 b on, so that its attention is the same sum whatever it shares. The whole blocks of the
/// prefix are there once for all sequences; what is left of the prefix stands in each sequence's
/// first own block.
class KvLayout {
 public:
  static constexpr int64_t kPositions = 128;

  explicit KvLayout(const PackedRows& packed);

  /// Sequences, and the prefix as one more behind them.
  int64_t num_runs() const { return static_cast<int64_t>(first_own_block_.size()); }
  int64_t num_blocks() const { return num_blocks_; }
  int64_t num_shared_blocks() const { return num_shared_; }
  /// Where block `index` of a run's positions is.
  int64_t block_of(int64_t run, int64_t index) const {
    return index < num_shared_ ? index
                               : first_own_block_[static_cast<size_t>(run)] + index - num_shared_;
  }
  const PackedRows& packed() const { return packed_; }

 private:
  const PackedRows& packed_;
  int64_t num_shared_ = 0;
  int64_t num_blocks_ = 0;
  std::vector<int64_t> first_own_block_;  // [runs]
};

class StreamKv {
 public:
  /// Takes keys and values of all rows of `layout.packed()`: [rows, kv_heads, head_dim]. Memory is
  /// kept for the next time. Precondition: there are products of tiles.
  void fill(const at::Tensor& k, const at::Tensor& v, const KvLayout& layout);

  tiles::Arithmetic arithmetic() const { return arithmetic_; }
  int64_t kv_heads() const { return kv_heads_; }
  int64_t head_dim() const { return head_dim_; }

  /// A block of keys, [words(head_dim)][positions], and of values, [words(positions)][head_dim].
  const tiles::Word* keys(int64_t kv_head, int64_t block) const {
    return words() + (kv_head * num_blocks_ + block) * (key_words_ + value_words_);
  }
  const tiles::Word* values(int64_t kv_head, int64_t block) const {
    return keys(kv_head, block) + key_words_;
  }

  /// Bytes that a block of `kv_heads` takes.
  static int64_t block_bytes(int64_t kv_heads, int64_t head_dim, int64_t element_bytes) {
    return 2 * KvLayout::kPositions * kv_heads * head_dim * element_bytes;
  }

 private:
  tiles::Word* words() const { return static_cast<tiles::Word*>(words_.data_ptr()); }
  template <typename T, typename C>
  void fill_blocks(const at::Tensor& k, const at::Tensor& v, const KvLayout& layout);

  tiles::Arithmetic arithmetic_ = tiles::Arithmetic::kNone;
  int64_t kv_heads_ = 0;
  int64_t head_dim_ = 0;
  int64_t num_blocks_ = 0;
  int64_t key_words_ = 0;    ///< of a block
  int64_t value_words_ = 0;  ///< of a block
  at::Tensor words_;         // int32
};

}  // namespace prune_sweep
