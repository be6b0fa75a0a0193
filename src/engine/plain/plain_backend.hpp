/// \file
/// The backend of every device: libtorch's operations, and kernels where there are some.
#pragma once

#include <cstdint>
#include <functional>

#include "engine/backend.hpp"
#include "engine/plain/plain_head.hpp"

namespace prune_sweep {

/// Values are rounded where the tiles' backend rounds them; sums are made in libtorch's order,
/// which may depend on the other rows. On a CPU it goes the ways of a device, so that they are
/// tested there, though nothing is gained.
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
        type_(weights.embedding().scalar_type()),
        device_(weights.embedding().device()),
        ops_(ops),
        graphs_(graphs),
        row_block_(row_block),
        on_progress_([this, &on_progress] {
          if (!is_recording_) on_progress();
        }),
        head_(config, weights, ops, on_progress_) {}
  PlainBackend(const PlainBackend&) = delete;
  PlainBackend& operator=(const PlainBackend&) = delete;

  Qkv make_qkv(
      const LayerWeights& weights, const RotatedRows& rows, const RotatedRows& of_queries) override;
  void add_attention(
      const LayerWeights& weights, at::Tensor& hidden, const at::Tensor& attended) override;
  void add_mlp(const LayerWeights& weights, at::Tensor& hidden) override {
    add_residual_and_mlp(weights, hidden, {});
  }
  void add_attention_and_mlp(
      const LayerWeights& weights, at::Tensor& hidden, const at::Tensor& attended) override;
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
  std::unique_ptr<StepGraph> record(const std::function<void()>& queue) override;

 private:
  /// hidden += `residual`, where there is one; hidden += MLP(RMSNorm(hidden)).
  void add_residual_and_mlp(
      const LayerWeights& weights, at::Tensor& hidden, const at::Tensor& residual);

  const ModelConfig& config_;
  at::ScalarType type_;
  at::Device device_;
  DeviceOps ops_;
  Use graphs_;
  int64_t row_block_;
  bool is_recording_ = false;  ///< then nothing is computed that would be progress
  std::function<void()> on_progress_;
  PlainHead head_;
};

}  // namespace prune_sweep
