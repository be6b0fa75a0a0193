/// \file
/// LmHead by products of tiles: logits are looked at while they are in the cache.
#pragma once

#include <functional>

#include "engine/lm_head.hpp"
#include "engine/weights.hpp"
#include "prune_sweep/model/model_config.hpp"

namespace prune_sweep {

class TileHead final : public LmHead {
 public:
  /// All references must outlive it.
  TileHead(
      const ModelConfig& config, const Weights& weights, const std::function<void()>& on_progress)
      : config_(config), weights_(weights), on_progress_(on_progress) {}

  std::vector<Score> score(
      const at::Tensor& hidden, std::span<const Target> targets) const override;
  std::vector<float> logprobs(const at::Tensor& hidden) const override;
  at::Tensor greedy(const at::Tensor& hidden) const override;

 private:
  struct RowState;

  /// What is known of every row's logits over the whole vocabulary. on_logits(logits, first id,
  /// number of ids, first row, columns) is called with all float32 logits, [ids][columns] each
  /// time, from several threads.
  template <typename OnLogits>
  std::vector<RowState> scan(const at::Tensor& hidden, LogitsUse use, OnLogits on_logits) const;

  const ModelConfig& config_;
  const Weights& weights_;
  const std::function<void()>& on_progress_;
};

}  // namespace prune_sweep
