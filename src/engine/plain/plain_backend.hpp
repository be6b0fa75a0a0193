/// \file
/// The backend of every device: libtorch's operations, and kernels where there are some.
#pragma once

#include <cstdint>
#include <functional>

#include "engine/backend.hpp"
#include "engine/plain/plain_head.hpp"

namespace prune_sweep {

/// Values are rounded where the tiles' backend rounds them; sums are made in libtorch's order,
/// which may depend on the other rows.
class PlainBackend final : public Backend {
 public:
  PlainBackend(
      const ModelConfig& config,
      const Weights& weights,
      const DeviceOps& ops,
      Use graphs,
      int64_t row_block,
      const std::function<void()>& on_progress)
      : config_(config),
        element_bytes_(static_cast<int64_t>(weights.embedding().element_size())),
        device_(weights.embedding().device()),
        ops_(ops),
        graphs_(graphs),
        row_block_(row_block),
        on_progress_(on_progress),
        head_(config, weights, ops, on_progress) {}

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
  bool is_queued() const override { return true; }
  std::unique_ptr<StepGraph> record(const std::function<void()>& queue) const override;

 private:
  const ModelConfig& config_;
  int64_t element_bytes_;
  at::Device device_;
  DeviceOps ops_;
  Use graphs_;
  int64_t row_block_;
  const std::function<void()>& on_progress_;
  PlainHead head_;
};

}  // namespace prune_sweep
