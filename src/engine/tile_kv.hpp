/// \file
/// UnitKv in blocks, for products of tiles.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/packed_rows.hpp"
#include "engine/stream_kv.hpp"
#include "engine/unit_kv.hpp"
#include "prune_sweep/core/stream_tree.hpp"

namespace prune_sweep {

/// Bits of a row do not depend on the other sequences, on the other streams or on the length of the
/// shared prefix.
class TileKv final : public UnitKv {
 public:
  TileKv(
      const PackedRows& packed,
      const std::vector<int64_t>& wanted_rows,
      const StreamTree& tree,
      KeepKv keep);

  at::Tensor attend_prompts(size_t layer, size_t branch, const Qkv& qkv, Queries queries) override;
  void reserve_generated(int64_t num_slots, int64_t capacity) override;
  at::Tensor attend_generated(
      size_t layer, const std::vector<GeneratedRow>& rows, const Qkv& qkv) override;

 private:
  /// Of generated tokens in one layer.
  struct Own {
    at::Tensor k;  // [slots, kv_heads, capacity, head_dim]
    at::Tensor v;
  };

  KvLayout layout_;
  KvLayout kept_layout_;
  std::vector<QueryRun> all_queries_;
  std::vector<QueryRun> wanted_queries_;
  KeepKv keep_;
  bool are_all_kept_;                        // of the rows, when any are
  StreamKv scratch_;                         // of one stream, all rows
  std::vector<std::vector<StreamKv>> kept_;  // [layers][branches]
  std::vector<Own> own_;                     // [layers], made when first needed
  int64_t num_slots_ = 0;
  int64_t capacity_ = 0;
};

}  // namespace prune_sweep
