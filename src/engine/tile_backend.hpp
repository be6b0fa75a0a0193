/// \file
/// The backend of CPUs that have products of tiles.
#pragma once

#include <cstdint>
#include <functional>

#include "engine/backend.hpp"
#include "engine/product_rows.hpp"
#include "engine/tile_head.hpp"

namespace prune_sweep {

/// A row's results have the same bits whatever the other rows are.
class TileBackend final : public Backend {
 public:
  /// Whether this CPU and this libtorch have products for the weights' type and for rows as wide as
  /// the model's: not for an odd number of bfloat16.
  static bool can_compute(const ModelConfig& config, const Weights& weights);

  /// Precondition: can_compute(config, weights).
  TileBackend(
      const ModelConfig& config,
      const Weights& weights,
      int64_t row_block,
      const std::function<void()>& on_progress);

  Qkv make_qkv(
      const LayerWeights& weights, const RotatedRows& rows, const RotatedRows& of_queries) override;
  void add_attention(
      const LayerWeights& weights, at::Tensor& hidden, const at::Tensor& attended) override;
  void add_mlp(const LayerWeights& weights, at::Tensor& hidden) override;
  std::unique_ptr<UnitKv> make_kv(
      const PackedRows& packed,
      const std::vector<int64_t>& wanted_rows,
      const StreamTree& tree,
      KeepKv keep) override;
  int64_t kv_bytes(
      const PackedRows& packed,
      const StreamTree& tree,
      int64_t num_slots,
      int64_t capacity) const override;
  const LmHead& head() const override { return head_; }
  bool reads_zeros() const override { return true; }

 private:
  const ModelConfig& config_;
  int64_t element_bytes_;
  int64_t row_block_;
  const std::function<void()>& on_progress_;
  TileHead head_;
  ProductRows rows_;   // of a block, before a product
  ProductRows inner_;  // of a block, between the MLP's products
};

}  // namespace prune_sweep
