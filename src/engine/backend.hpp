/// \file
/// What computes. The decoder knows in which order sublayers come; a backend knows how they are
/// computed on its device. There are two: the tiles of a CPU, and plain operations for any device.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "engine/kernels.hpp"
#include "engine/lm_head.hpp"
#include "engine/packed_rows.hpp"
#include "engine/step_graph.hpp"
#include "engine/unit_kv.hpp"
#include "engine/weights.hpp"
#include "prune_sweep/core/savings.hpp"
#include "prune_sweep/core/stream_tree.hpp"
#include "prune_sweep/engine/engine.hpp"
#include "prune_sweep/model/model_config.hpp"

namespace prune_sweep {

/// Rows before attention, and their RoPE angles.
struct RotatedRows {
  const at::Tensor& hidden;  // [rows, hidden]
  const Rope& rope;          // [rows]
};

class Backend {
 public:
  virtual ~Backend() = default;

  /// Keys and values of `rows`, queries of `of_queries`: after RMSNorm, projection, q/k norm and
  /// RoPE.
  virtual Qkv make_qkv(
      const LayerWeights& weights, const RotatedRows& rows, const RotatedRows& of_queries) = 0;

  /// hidden += attended * o^T, the product rounded before it is added.
  virtual void add_attention(
      const LayerWeights& weights,
      at::Tensor& hidden,               // [rows, hidden]
      const at::Tensor& attended) = 0;  // [rows, heads * head_dim]

  /// hidden += MLP(RMSNorm(hidden)).
  virtual void add_mlp(const LayerWeights& weights, at::Tensor& hidden) = 0;  // [rows, hidden]

  /// Both, one after the other.
  virtual void add_attention_and_mlp(
      const LayerWeights& weights, at::Tensor& hidden, const at::Tensor& attended) {
    add_attention(weights, hidden, attended);
    add_mlp(weights, hidden);
  }

  /// For the prompts of a unit whose variants are `tree`; `wanted_rows` see Queries. `packed` must
  /// outlive it.
  virtual std::unique_ptr<UnitKv> make_kv(
      const PackedRows& packed,
      const std::vector<int64_t>& wanted_rows,
      const StreamTree& tree,
      KeepKv keep) = 0;

  /// Bytes that make_kv() would hold with KeepKv::kYes and `num_slots` slots of `capacity` tokens
  /// besides.
  virtual int64_t kv_bytes(
      const PackedRows& packed,
      const StreamTree& tree,
      int64_t num_slots,
      int64_t capacity) const = 0;

  virtual const LmHead& head() const = 0;

  /// Whether layers may be the model's with zeros (LayerWeights::zeros): for other backends they
  /// are copies.
  virtual bool reads_zeros() const { return false; }

  /// Whether what is asked for is only queued: then the next step of a generation should be, before
  /// the ids of the last one are known here.
  virtual bool is_queued() const { return false; }
  /// Records what `queue` queues, which must have run once; null where that cannot be recorded.
  virtual std::unique_ptr<StepGraph> record(const std::function<void()>& /*queue*/) {
    return nullptr;
  }
};

/// The fastest backend for the device that `weights` are on, or that of plain operations.
/// `row_block`, not that of `savings`, is how many rows go through a sublayer together.
/// `on_progress` is called for every block. All references must outlive it.
std::unique_ptr<Backend> make_backend(
    const ModelConfig& config,
    const Weights& weights,
    Operations operations,
    const Savings& savings,
    int64_t row_block,
    const std::function<void()>& on_progress);

}  // namespace prune_sweep
