/// \file
/// The decoder that all families share: embedding, layers, RoPE angles. It knows rows, not
/// questions.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <span>

#include "engine/attention.hpp"
#include "engine/kernels.hpp"
#include "engine/weights.hpp"
#include "prune_sweep/core/variant.hpp"
#include "prune_sweep/model/model_config.hpp"

namespace prune_sweep {

class Decoder {
 public:
  /// How rows attend: given their queries, keys and values, the weighted values [rows, heads *
  /// head_dim].
  using Attend = std::function<at::Tensor(const Qkv&)>;

  /// All references must outlive it. `on_progress` is called every few hundred rows of a layer.
  Decoder(
      const ModelConfig& config, const Weights& weights, const std::function<void()>& on_progress);

  at::Tensor embed(std::span<const int32_t> ids) const;  // => [rows, hidden]
  Rope rope(std::span<const int32_t> positions);         // [rows]

  /// One layer, as far as its edit keeps it. A row's result does not depend on the other rows, but
  /// through `attend`.
  at::Tensor layer(
      const LayerWeights& weights,
      const EditEffect& effect,
      at::Tensor hidden,  // [rows, hidden] => the same
      const Rope& rope,
      const Attend& attend) const;

  const ModelConfig& config() const { return config_; }
  const Weights& weights() const { return weights_; }

 private:
  Qkv project(const LayerWeights& weights, const at::Tensor& hidden, const Rope& rope) const;
  at::Tensor add_attention(
      const LayerWeights& weights, const at::Tensor& hidden, const at::Tensor& attended) const;
  at::Tensor add_mlp(const LayerWeights& weights, const at::Tensor& hidden) const;
  void extend_angles(int64_t num_positions);

  const ModelConfig& config_;
  const Weights& weights_;
  const std::function<void()>& on_progress_;
  int64_t min_rows_;
  Rope angles_;  // [positions so far, head_dim / 2]
};

/// Effect of no edit or of the one given.
EditEffect effect_of(const Edit* edit);

}  // namespace prune_sweep
