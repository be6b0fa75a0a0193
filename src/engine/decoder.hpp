/// \file
/// The decoder that all families share: embedding, layers, RoPE angles. It knows rows, not
/// questions.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "engine/backend.hpp"
#include "engine/kernels.hpp"
#include "engine/weights.hpp"
#include "prune_sweep/core/variant.hpp"
#include "prune_sweep/model/model_config.hpp"

namespace prune_sweep {

/// Which rows of a layer's result are wanted.
struct WantedRows {
  std::vector<int64_t> rows;
  Rope rope;  ///< of these rows
};

class Decoder {
 public:
  /// How rows attend: given their queries, keys and values, the weighted values [rows of q, heads *
  /// head_dim].
  using Attend = std::function<at::Tensor(const Qkv&)>;

  /// All references must outlive it.
  Decoder(const ModelConfig& config, const Weights& weights, Backend& backend);

  /// Of int32 on the host or, as a tensor, on the device; a negative id stands for any.
  at::Tensor embed(std::span<const int32_t> ids) const;  // => [rows, hidden]
  at::Tensor embed(const at::Tensor& ids) const;         // [rows] => [rows, hidden]
  Rope rope(std::span<const int32_t> positions);         // [rows]
  Rope rope(const at::Tensor& positions) const;          // [rows], see reserve_positions()
  /// Makes the angles of positions below `num_positions`.
  void reserve_positions(int64_t num_positions);

  /// One layer, as far as its edit keeps it, in place. A row's result depends on the
  /// others through `attend` alone, as far as the backend's sums do.
  void run_layer(
      const LayerWeights& weights,
      const EditEffect& effect,
      at::Tensor& hidden,  // [rows, hidden]
      const Rope& rope,
      const Attend& attend);

  /// As run_layer, for rows that nobody reads after the layer but `wanted`: => [wanted, hidden].
  /// `attend` gets queries of the wanted rows, keys and values of all.
  at::Tensor run_last_layer(
      const LayerWeights& weights,
      const EditEffect& effect,
      const at::Tensor& hidden,  // [rows, hidden]
      const Rope& rope,
      const WantedRows& wanted,
      const Attend& attend);

  const ModelConfig& config() const { return config_; }
  const Weights& weights() const { return weights_; }
  Backend& backend() const { return backend_; }

 private:
  /// Adds what the edit keeps; attended() => [rows, heads * head_dim].
  template <typename Attended>
  void add_sublayers(
      const LayerWeights& weights, const EditEffect& effect, at::Tensor& hidden, Attended attended);

  const ModelConfig& config_;
  const Weights& weights_;
  Backend& backend_;
  Rope angles_;  // [positions so far, head_dim / 2]
};

/// Effect of no edit or of the one given.
EditEffect effect_of(const std::optional<Edit>& edit);

}  // namespace prune_sweep
