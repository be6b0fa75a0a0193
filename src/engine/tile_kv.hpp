/// \file
/// UnitKv in blocks, for products of tiles.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/generated_kv.hpp"
#include "engine/kv_blocks.hpp"
#include "engine/kv_layout.hpp"
#include "engine/packed_rows.hpp"
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

  at::Tensor attend_prompts(
      size_t layer, std::span<const int64_t> branches, const Qkv& qkv, Queries queries) override;
  void reserve_generated(int64_t num_slots, int64_t capacity) override;
  std::unique_ptr<GeneratedRows> tell_rows(
      size_t layer, const std::vector<GeneratedRow>& rows) const override;
  at::Tensor attend_generated(
      const GeneratedRows& rows, const at::Tensor& positions, const Qkv& qkv) override;

 private:
  struct Rows;

  at::Tensor attend_branch(size_t layer, size_t branch, const Qkv& qkv, Queries queries);

  KvLayout layout_;
  KvLayout kept_layout_;
  std::vector<QueryRun> all_queries_;
  std::vector<QueryRun> wanted_queries_;
  KeepKv keep_;
  bool are_all_kept_;                        // of the rows, when any are
  KvBlocks scratch_;                         // of one stream, all rows
  std::vector<std::vector<KvBlocks>> kept_;  // [layers][branches]: of the stream behind the branch
  std::vector<std::optional<GeneratedKv>> generated_;  // [layers], made when first needed
  int64_t num_slots_ = 0;
  int64_t capacity_ = 0;
};

}  // namespace prune_sweep
